// SPDX-License-Identifier: MIT
// MappedFile on POSIX and Windows. The file is opened without blocking and its kind is checked on
// the open handle, so that a pipe cannot hang the process and nothing can be swapped in between.
#include "base/mapped_file.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <system_error>

#include "base/error.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace gm {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw ResourceError("[" + path + "] " + why);
}

void check_path(const std::string& path) {
  if (path.empty()) fail(path, "the file name is empty.");
  if (path.find('\0') != std::string::npos) {
    fail(path.substr(0, path.find('\0')), "the file name holds a NUL byte.");
  }
}

int64_t now_ns() noexcept {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

#ifndef _WIN32
// Closes a descriptor when the scope ends; a map outlives its descriptor.
struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::string reason(int error) { return std::generic_category().message(error); }

FileIdentity identity_from(const struct stat& info) noexcept {
  const auto ns = [](const struct timespec& t) {
    return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  };
#ifdef __APPLE__
  const struct timespec &modified = info.st_mtimespec, &changed = info.st_ctimespec;
#else
  const struct timespec &modified = info.st_mtim, &changed = info.st_ctim;
#endif
  return {static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino),
          static_cast<uint64_t>(info.st_size), ns(modified), ns(changed)};
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISBLK(mode)) return "a block device";
  return "not a regular file";
}
#endif

}  // namespace

void MappedFile::check() const {
  const FileIdentity now = identity_of(path_);
  const bool same = now.device == identity_.device && now.inode == identity_.inode;
  const bool shorter = identity_.size != 0 && same && now.size < size_;  // 0: the system is silent
  if (!broken() && !shorter) return;
  fail(path_, shorter ? "the file was shortened while it was in use. Got " +
                            std::to_string(now.size) + " bytes, expected " + std::to_string(size_) +
                            ". Hint: replace a model by renaming another file over it."
                      : "the file could not be read while it was in use (it was shortened, or its "
                        "medium failed). Load it again.");
}

#ifndef _WIN32

MappedFile::MappedFile(const std::string& path) : path_(path), opened_ns_(now_ns()) {
  check_path(path);
  Descriptor file;
  do {
    file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (file.fd < 0 && errno == EINTR);
  if (file.fd < 0) fail(path, "cannot open the file: " + reason(errno) + ".");
  struct stat info{};
  if (::fstat(file.fd, &info) != 0) fail(path, "cannot stat the file: " + reason(errno) + ".");
  if (!S_ISREG(info.st_mode)) {
    fail(path, std::string("a regular file is needed. Got ") + kind_of(info.st_mode) + ".");
  }
  if (static_cast<uint64_t>(info.st_size) > std::numeric_limits<size_t>::max() / 2) {
    fail(path, "the file is too large to be mapped.");
  }
  size_ = static_cast<size_t>(info.st_size);
  identity_ = identity_from(info);
  if (size_ == 0) return;
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd, 0);
  if (map == MAP_FAILED) fail(path, "cannot map the file: " + reason(errno) + ".");
  data_ = static_cast<const uint8_t*>(map);
  guard_.watch(data_, size_);
}

bool MappedFile::exists(const std::string& path) noexcept {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 || errno != ENOENT;
}

FileIdentity MappedFile::identity_of(const std::string& path) noexcept {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? identity_from(info) : FileIdentity{};
}

MappedFile::~MappedFile() {
  guard_.ignore();
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

namespace {

// Advises the pages of [offset, offset + count): the touched ones, or only those wholly inside.
void advise(std::span<const uint8_t> bytes, uint64_t offset, uint64_t count, bool inside,
            int advice) noexcept {
  if (offset >= bytes.size()) return;
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t end = offset + std::min<uint64_t>(count, bytes.size() - offset);
  const uint64_t first = inside ? (offset + page - 1) / page * page : offset / page * page;
  // The last page of the file is wholly inside if its bytes are.
  const uint64_t last = inside && end != bytes.size() ? end / page * page : end;
  if (first >= last) return;
  ::madvise(const_cast<uint8_t*>(bytes.data()) + first, static_cast<size_t>(last - first), advice);
}

}  // namespace

void MappedFile::prefetch(uint64_t offset, uint64_t count) const noexcept {
  advise(bytes(), offset, count, false, MADV_WILLNEED);
}

void MappedFile::prefer_huge_pages() const noexcept {
#ifdef MADV_HUGEPAGE
  if (data_ != nullptr) ::madvise(const_cast<uint8_t*>(data_), size_, MADV_HUGEPAGE);
#endif
}

void MappedFile::drop(uint64_t offset, uint64_t count) const noexcept {
  advise(bytes(), offset, count, true, MADV_DONTNEED);
}

#else

namespace {

struct Handle {
  HANDLE handle = nullptr;
  ~Handle() {
    if (handle != nullptr && handle != INVALID_HANDLE_VALUE) CloseHandle(handle);
  }
};

std::string reason() { return std::system_category().message(static_cast<int>(GetLastError())); }

std::wstring wide(const std::string& path) {
  const int length = static_cast<int>(path.size());
  const int count =
      MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), length, nullptr, 0);
  if (count <= 0) fail(path, "the file name is not valid UTF-8.");
  std::wstring result(static_cast<size_t>(count), L'\0');
  MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), length, result.data(), count);
  return result;
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path), opened_ns_(now_ns()) {
  check_path(path);
  const std::wstring name = wide(path);
  Handle file{CreateFileW(name.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr,
                          OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr)};
  if (file.handle == INVALID_HANDLE_VALUE) fail(path, "cannot open the file: " + reason() + ".");
  if (GetFileType(file.handle) != FILE_TYPE_DISK) fail(path, "a regular file is needed.");
  LARGE_INTEGER size{};
  if (!GetFileSizeEx(file.handle, &size)) fail(path, "cannot read the size: " + reason() + ".");
  if (static_cast<uint64_t>(size.QuadPart) > std::numeric_limits<size_t>::max() / 2) {
    fail(path, "the file is too large to be mapped.");
  }
  size_ = static_cast<size_t>(size.QuadPart);
  if (size_ == 0) return;
  Handle mapping{CreateFileMappingW(file.handle, nullptr, PAGE_READONLY, 0, 0, nullptr)};
  if (mapping.handle == nullptr) fail(path, "cannot map the file: " + reason() + ".");
  data_ = static_cast<const uint8_t*>(MapViewOfFile(mapping.handle, FILE_MAP_READ, 0, 0, 0));
  if (data_ == nullptr) fail(path, "cannot map the file: " + reason() + ".");
}

bool MappedFile::exists(const std::string& path) noexcept {
  try {
    return GetFileAttributesW(wide(path).c_str()) != INVALID_FILE_ATTRIBUTES;
  } catch (...) {
    return false;
  }
}

// Not asked for yet: without an identity the panel cache compares every time.
FileIdentity MappedFile::identity_of(const std::string&) noexcept { return {}; }

MappedFile::~MappedFile() {
  if (data_ != nullptr) UnmapViewOfFile(data_);
}

// The system's own read-ahead and trimming serve here.
void MappedFile::prefetch(uint64_t, uint64_t) const noexcept {}
void MappedFile::drop(uint64_t, uint64_t) const noexcept {}
void MappedFile::prefer_huge_pages() const noexcept {}

#endif

}  // namespace gm
