// SPDX-License-Identifier: MIT
// Writes a file atomically: the bytes go to a temporary name in the same directory, and commit()
// syncs and renames it into place. Whatever fails before that, the old file stays as it was and the
// temporary one is removed, so a full disk or an interrupt never leaves half a model behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gm {

class FileWriter {
 public:
  // path is UTF-8 (on POSIX: the raw bytes); a symbolic link is followed. Throws ResourceError.
  explicit FileWriter(const std::string& path);
  ~FileWriter();  // aborts what was not committed
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  const std::string& path() const noexcept { return path_; }
  uint64_t offset() const noexcept { return offset_; }  // bytes written so far

  // Throws ResourceError (disk full, ...); after that only abort() makes sense.
  void write(const void* data, size_t count);
  void commit();
  // Removes the temporary file. Repeated calls, and calls after commit(), do nothing.
  void abort() noexcept;

 private:
  void write_through(const uint8_t* data, size_t count);
  void flush();

  std::string path_;
  std::string target_;     // path_ with symbolic links resolved
  std::string temporary_;  // empty when there is none to remove
  std::vector<uint8_t> buffer_;
  uint64_t offset_ = 0;
  intptr_t handle_ = -1;
};

}  // namespace gm
