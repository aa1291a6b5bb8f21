// SPDX-License-Identifier: MIT
// FileWriter on POSIX and Windows. Small writes are gathered in a buffer of kBufferBytes: large
// enough that the header of a 150k-token vocabulary costs a few system calls, small enough to sit
// in L2; tensor data goes straight through.
#include "base/file_writer.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <system_error>

#include "base/error.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace gm {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferBytes = 256 * 1024;
constexpr size_t kMaxWrite = size_t{1} << 30;  // below every system's limit for one call
constexpr int kNameAttempts = 100;

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw ResourceError("[" + path + "] " + why);
}

fs::path to_path(const std::string& path) {
#ifdef _WIN32
  return fs::path(std::u8string(path.begin(), path.end()));
#else
  return fs::path(path);
#endif
}

std::string to_string(const fs::path& path) {
#ifdef _WIN32
  const std::u8string text = path.u8string();
  return std::string(text.begin(), text.end());
#else
  return path.native();
#endif
}

// Where the bytes finally go: `path`, or what it links to.
std::string resolve_target(const std::string& path) {
  if (path.empty()) fail(path, "the file name is empty.");
  if (path.find('\0') != std::string::npos) {
    fail(path.substr(0, path.find('\0')), "the file name holds a NUL byte.");
  }
  std::error_code error;
  fs::path target = to_path(path);
  if (fs::is_symlink(fs::symlink_status(target, error))) {
    target = fs::weakly_canonical(target, error);
    if (error) fail(path, "cannot follow the link: " + error.message() + ".");
  }
  const fs::file_status status = fs::status(target, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    fail(path, fs::is_directory(status) ? "a file is needed. Got a directory."
                                        : "only regular files can be written.");
  }
  return to_string(target);
}

// Unique within this machine's live processes; an existing name is skipped by the caller.
std::string temporary_name(const std::string& target, uint64_t process) {
  static std::atomic<uint64_t> counter{0};
  return target + ".tmp-" + std::to_string(process) + "-" + std::to_string(counter.fetch_add(1));
}

}  // namespace

void FileWriter::write(const void* data, size_t count) {
  if (handle_ == -1) fail(path_, "cannot write: the file is closed.");
  const auto* bytes = static_cast<const uint8_t*>(data);
  if (buffer_.size() + count > kBufferBytes) flush();
  if (count >= kBufferBytes) {
    write_through(bytes, count);
  } else if (count != 0) {
    buffer_.insert(buffer_.end(), bytes, bytes + count);
  }
  offset_ += count;
}

void FileWriter::flush() {
  write_through(buffer_.data(), buffer_.size());
  buffer_.clear();
}

FileWriter::~FileWriter() { abort(); }

#ifndef _WIN32

FileWriter::FileWriter(const std::string& path) : path_(path), target_(resolve_target(path)) {
  buffer_.reserve(kBufferBytes);
  for (int i = 0; i < kNameAttempts && handle_ < 0; ++i) {
    temporary_ = temporary_name(target_, static_cast<uint64_t>(::getpid()));
    handle_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (handle_ < 0 && errno != EEXIST && errno != EINTR) break;
  }
  if (handle_ < 0) {
    temporary_.clear();
    fail(path, "cannot create the file: " + std::generic_category().message(errno) + ".");
  }
  struct stat old{};
  if (::stat(target_.c_str(), &old) == 0) {  // keep the permissions of the file being replaced
    [[maybe_unused]] const int ignored = ::fchmod(static_cast<int>(handle_), old.st_mode & 07777);
  }
}

void FileWriter::write_through(const uint8_t* data, size_t count) {
  while (count != 0) {
    const ssize_t done = ::write(static_cast<int>(handle_), data, std::min(count, kMaxWrite));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const int error = done < 0 ? errno : ENOSPC;
      fail(path_, "cannot write the file: " + std::generic_category().message(error) + ".");
    }
    data += done;
    count -= static_cast<size_t>(done);
  }
}

void FileWriter::commit() {
  if (handle_ < 0) fail(path_, "cannot commit: the file is closed.");
  flush();
  if (::fsync(static_cast<int>(handle_)) != 0) {
    fail(path_, "cannot sync the file: " + std::generic_category().message(errno) + ".");
  }
  const int closed = ::close(static_cast<int>(handle_));
  handle_ = -1;
  if (closed != 0) {  // network file systems report a full disk here
    fail(path_, "cannot close the file: " + std::generic_category().message(errno) + ".");
  }
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail(path_,
         "cannot rename the file into place: " + std::generic_category().message(errno) + ".");
  }
  temporary_.clear();
  // Make the rename itself durable; the file is complete either way, so failure is not an error.
  const fs::path parent = fs::path(target_).parent_path();
  const int directory = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
}

void FileWriter::abort() noexcept {
  if (handle_ >= 0) ::close(static_cast<int>(handle_));
  handle_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

#else

namespace {

std::string reason() { return std::system_category().message(static_cast<int>(GetLastError())); }

HANDLE as_handle(intptr_t value) { return reinterpret_cast<HANDLE>(value); }

}  // namespace

FileWriter::FileWriter(const std::string& path) : path_(path), target_(resolve_target(path)) {
  buffer_.reserve(kBufferBytes);
  for (int i = 0; i < kNameAttempts && handle_ == -1; ++i) {
    temporary_ = temporary_name(target_, GetCurrentProcessId());
    handle_ = reinterpret_cast<intptr_t>(CreateFileW(to_path(temporary_).c_str(), GENERIC_WRITE, 0,
                                                     nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL,
                                                     nullptr));
    if (handle_ == -1 && GetLastError() != ERROR_FILE_EXISTS) break;
  }
  if (handle_ == -1) {
    temporary_.clear();
    fail(path, "cannot create the file: " + reason() + ".");
  }
}

void FileWriter::write_through(const uint8_t* data, size_t count) {
  while (count != 0) {
    DWORD done = 0;
    const DWORD part = static_cast<DWORD>(std::min(count, kMaxWrite));
    if (!WriteFile(as_handle(handle_), data, part, &done, nullptr) || done == 0) {
      fail(path_, "cannot write the file: " + reason() + ".");
    }
    data += done;
    count -= done;
  }
}

void FileWriter::commit() {
  if (handle_ == -1) fail(path_, "cannot commit: the file is closed.");
  flush();
  if (!FlushFileBuffers(as_handle(handle_))) {
    fail(path_, "cannot sync the file: " + reason() + ".");
  }
  CloseHandle(as_handle(handle_));
  handle_ = -1;
  if (!MoveFileExW(to_path(temporary_).c_str(), to_path(target_).c_str(),
                   MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) {
    fail(path_, "cannot rename the file into place: " + reason() + ".");
  }
  temporary_.clear();
}

void FileWriter::abort() noexcept {
  if (handle_ != -1) CloseHandle(as_handle(handle_));
  handle_ = -1;
  if (!temporary_.empty()) {
    std::error_code ignored;
    fs::remove(to_path(temporary_), ignored);
  }
  temporary_.clear();
}

#endif

}  // namespace gm
