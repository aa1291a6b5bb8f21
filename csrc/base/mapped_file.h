// SPDX-License-Identifier: MIT
// A read-only map of a whole regular file. Opening never blocks: directories, pipes and devices are
// refused by name. The map stays valid when the file is renamed or replaced (that is how
// FileWriter works). When it is shortened in place, or the medium fails, the bytes that are gone
// read as zeros and the map is broken from then on (base/map_guard.h); what was computed from it is
// worth nothing, so whoever hands out a result calls check() or asks broken() before. Bytes that
// another program overwrites in place are simply seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/map_guard.h"

namespace gm {

// Which file it was, and when it last changed: the change time moves with every write, and unlike
// the modification time no program can set it back. Zeros where the system does not say.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;

  bool operator==(const FileIdentity&) const = default;
};

class MappedFile {
 public:
  // path is UTF-8 (on POSIX: the raw bytes). Throws ResourceError.
  explicit MappedFile(const std::string& path);
  // Whether something of that name exists (of any kind, readable or not).
  static bool exists(const std::string& path) noexcept;
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  // Page-aligned; empty (null) for an empty file.
  std::span<const uint8_t> bytes() const noexcept { return {data_, size_}; }
  size_t size() const noexcept { return size_; }
  // Whether bytes could not be read so far. check() throws ResourceError then, and also if the file
  // is shorter now than the map.
  bool broken() const noexcept { return guard_.broken(); }
  void check() const;
  // Of the file as it was opened, and when that was (nanoseconds since 1970).
  const FileIdentity& identity() const noexcept { return identity_; }
  int64_t opened_ns() const noexcept { return opened_ns_; }
  // Of what has that name now; zeros if nothing has.
  static FileIdentity identity_of(const std::string& path) noexcept;

  // Hints about the pages inside [offset, offset + count), clipped to the file. prefetch: soon
  // needed. drop: no longer needed; reading them again is valid and goes back to the file.
  void prefetch(uint64_t offset, uint64_t count) const noexcept;
  void drop(uint64_t offset, uint64_t count) const noexcept;
  // Asks for huge pages where the file system keeps some.
  void prefer_huge_pages() const noexcept;

 private:
  std::string path_;
  MapGuard guard_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  FileIdentity identity_;
  int64_t opened_ns_ = 0;
};

}  // namespace gm
