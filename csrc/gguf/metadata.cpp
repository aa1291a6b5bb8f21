// SPDX-License-Identifier: MIT
// Reads the key-value section into an index. Memory grows with the pairs that were really there,
// never with the count that the header claims.
#include "gguf/metadata.h"

#include <string>

#include "base/error.h"

namespace gm::gguf {
namespace {

constexpr uint64_t kLeastPair = 8 + 1 + 4 + 1;  // key length, one byte of key, type, one byte
constexpr uint64_t kMaxKeyBytes = 65535;        // from the GGUF specification

MetaEntry read_entry(Reader& reader) {
  reader.set_item({}, {});
  MetaEntry entry;
  entry.key = reader.string("a key");
  reader.set_item("key", entry.key);
  if (entry.key.empty()) reader.fail("a key is empty.");
  if (entry.key.size() > kMaxKeyBytes) reader.fail("a key is longer than 65535 bytes.");
  if (!is_utf8(entry.key)) reader.fail("a key is not valid UTF-8.");
  entry.type = reader.value_type("the type of a value");
  entry.offset = reader.offset();
  if (entry.type == ValueType::Array) {
    Reader ahead = reader;
    entry.array = read_array_head(ahead);
    entry.offset = ahead.offset();
  }
  skip_value(reader, entry.type);
  return entry;
}

}  // namespace

Metadata::Metadata(std::span<const uint8_t> bytes, std::string_view file, Reader& reader,
                   uint64_t count)
    : bytes_(bytes), file_(file) {
  if (count > reader.remaining() / kLeastPair) {
    reader.fail("the number of metadata keys exceeds the file. Got " + std::to_string(count) +
                " keys, " + std::to_string(reader.remaining()) + " bytes are left.");
  }
  for (uint64_t i = 0; i < count; ++i) {
    const MetaEntry entry = read_entry(reader);
    if (!index_.emplace(entry.key, entries_.size()).second) reader.fail("the key occurs twice.");
    entries_.push_back(entry);
  }
  reader.set_item({}, {});
}

const MetaEntry* Metadata::find(std::string_view key) const noexcept {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

Reader Metadata::reader_at(const MetaEntry& entry) const noexcept {
  Reader reader(bytes_, file_, entry.offset);
  reader.set_item("key", entry.key);
  return reader;
}

std::optional<uint64_t> Metadata::unsigned_value(std::string_view key) const {
  const MetaEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  Reader reader = reader_at(*entry);
  int64_t value = 0;
  switch (entry->type) {
    case ValueType::Uint8:
      return reader.scalar<uint8_t>("a value");
    case ValueType::Uint16:
      return reader.scalar<uint16_t>("a value");
    case ValueType::Uint32:
      return reader.scalar<uint32_t>("a value");
    case ValueType::Uint64:
      return reader.scalar<uint64_t>("a value");
    case ValueType::Int8:
      value = reader.scalar<int8_t>("a value");
      break;
    case ValueType::Int16:
      value = reader.scalar<int16_t>("a value");
      break;
    case ValueType::Int32:
      value = reader.scalar<int32_t>("a value");
      break;
    case ValueType::Int64:
      value = reader.scalar<int64_t>("a value");
      break;
    default:
      reader.fail("an integer is needed. Got " + std::string(value_type_name(entry->type)) + ".");
  }
  if (value < 0) {
    reader_at(*entry).fail("a number of at least 0 is needed. Got " + std::to_string(value) + ".");
  }
  return static_cast<uint64_t>(value);
}

}  // namespace gm::gguf
