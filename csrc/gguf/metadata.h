// SPDX-License-Identifier: MIT
// The key-value section of a GGUF file as an index: keys, types and where the values lie. Values
// stay in the file until they are asked for, so that opening a file costs the walk alone.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gguf/reader.h"

namespace gm::gguf {

struct MetaEntry {
  std::string_view key;  // into the map; valid UTF-8
  ValueType type = ValueType::Uint8;
  ArrayHead array;      // meaningful if type is Array
  uint64_t offset = 0;  // of the value; of the first element for an array
};

class Metadata {
 public:
  // Reads `count` pairs at the reader's place and moves it behind them. The bytes and the file name
  // must outlive this object. Throws FormatError: truncated, bad or duplicate keys, bad types.
  Metadata(std::span<const uint8_t> bytes, std::string_view file, Reader& reader, uint64_t count);

  const std::vector<MetaEntry>& entries() const noexcept { return entries_; }
  const MetaEntry* find(std::string_view key) const noexcept;  // null if there is none
  // A cursor at the entry's value (first element of an array). The walk has been over it, but reads
  // stay checked: the file may have changed since.
  Reader reader_at(const MetaEntry& entry) const noexcept;
  // The value of an integer key of any width; empty if there is no such key. Throws FormatError if
  // it is not an integer, or negative.
  std::optional<uint64_t> unsigned_value(std::string_view key) const;

 private:
  std::span<const uint8_t> bytes_;
  std::string_view file_;
  std::vector<MetaEntry> entries_;
  std::unordered_map<std::string_view, size_t> index_;
};

}  // namespace gm::gguf
