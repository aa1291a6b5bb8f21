// SPDX-License-Identifier: MIT
// An entry of the panel cache: a page of header, then the panels of a model as they lie in memory,
// to be mapped read-only by any number of processes. An entry is written under a temporary name and
// renamed when it is complete, and nobody shortens or rewrites one afterwards.
//
// An entry must never stand in for a file that has changed. Its key is a hash of what the panels
// come from: header, tensor table, sizes, panel layouts and a sample of every tensor. Equal keys
// only make two files likely to be the same, so before a file is served it is compared with the
// entry, packed panel by packed panel, all of it. What was compared is remembered as a stamp of
// that file (device, inode, size, times of modification and of change): any write moves the change
// time, which no program can set back, so a known stamp means the bytes that were compared. Even
// then a few panels are compared each time, against media that lose writes or turn back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/file_writer.h"
#include "base/mapped_file.h"

namespace gm {

// What the header of an entry says.
struct PanelCacheInfo {
  uint64_t key = 0;
  uint64_t panel_bytes = 0;
  uint64_t file_bytes = 0;
  std::string model;  // the path it was made from
};

class PanelCacheEntry {
 public:
  // The entry at `path`; null if there is none or it is not whole (magic, version, size, checksum
  // of the header), with the reason in *why.
  static std::unique_ptr<PanelCacheEntry> open(const std::string& path, std::string* why);

  const PanelCacheInfo& info() const noexcept { return info_; }
  const MappedFile& map() const noexcept { return map_; }
  // [info().panel_bytes], page-aligned.
  const uint8_t* panels() const noexcept;
  // Whether a file of that stamp was compared with this entry. A stamp of 0 never was.
  bool knows(uint64_t stamp) const noexcept;
  // Remembers that it was, if the entry can be written to.
  void learn(uint64_t stamp) const noexcept;

 private:
  explicit PanelCacheEntry(const std::string& path) : map_(path) {}

  MappedFile map_;
  PanelCacheInfo info_;
  uint64_t nonce_ = 0;
};

// Writes an entry in steps, so that the caller can pause between them.
class PanelCacheWriter {
 public:
  // The panels must outlive the writer. Throws ResourceError.
  PanelCacheWriter(const std::string& path, const PanelCacheInfo& info, uint64_t stamp,
                   std::span<const uint8_t> panels);

  // Writes some megabytes; false when all are written. Throws ResourceError (disk full, ...).
  bool step();
  // Makes the entry durable and visible. Throws ResourceError.
  void commit() { writer_.commit(); }
  void abort() noexcept { writer_.abort(); }

 private:
  FileWriter writer_;
  std::span<const uint8_t> left_;
};

}  // namespace gm
