// SPDX-License-Identifier: MIT
// The cursor's checks and the walk over metadata values. The walk does at most one step per eight
// bytes of the file, so a hostile count costs no more than a long file would.
#include "gguf/reader.h"

#include <array>
#include <bit>

#include "base/check.h"
#include "base/error.h"

namespace gm::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place, little-endian");

namespace {

constexpr uint64_t kStringHead = 8;
constexpr uint64_t kArrayHead = 12;
constexpr size_t kMaxQuoted = 80;

struct TypeEntry {
  std::string_view name;
  uint32_t size;
};
constexpr std::array<TypeEntry, kValueTypes> kTypeTable = {{
    {"uint8", 1},
    {"int8", 1},
    {"uint16", 2},
    {"int16", 2},
    {"uint32", 4},
    {"int32", 4},
    {"float32", 4},
    {"bool", 1},
    {"string", 0},
    {"array", 0},
    {"uint64", 8},
    {"int64", 8},
    {"float64", 8},
}};

}  // namespace

std::string_view value_type_name(ValueType type) noexcept {
  const auto id = static_cast<uint32_t>(type);
  return id < kValueTypes ? kTypeTable[id].name : "unknown";
}

bool parse_value_type(std::string_view name, ValueType* out) noexcept {
  for (uint32_t id = 0; id < kValueTypes; ++id) {
    if (kTypeTable[id].name == name) {
      *out = static_cast<ValueType>(id);
      return true;
    }
  }
  return false;
}

uint32_t value_size(ValueType type) noexcept {
  const auto id = static_cast<uint32_t>(type);
  return id < kValueTypes ? kTypeTable[id].size : 0;
}

bool is_utf8(std::string_view text) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = p + text.size();
  while (p < end) {
    const unsigned lead = *p++;
    if (lead < 0x80) continue;
    // Follow-up bytes, and the smallest code point that may be written with so many.
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || end - p < more) return false;
    uint32_t code = lead & (0x3fu >> more);
    for (int i = 0; i < more; ++i) {
      if ((p[i] & 0xc0) != 0x80) return false;
      code = (code << 6) | (p[i] & 0x3fu);
    }
    p += more;
    const uint32_t least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
  }
  return true;
}

std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string result = "'";
  for (const char c : text.substr(0, kMaxQuoted)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      result += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      result += c;
    }
  }
  if (text.size() > kMaxQuoted) result += "...";
  return result + "'";
}

std::string Reader::where(uint64_t place) const {
  std::string text = "[" + std::string(file_);
  if (!kind_.empty()) text += ", " + std::string(kind_) + " " + quoted(name_);
  return text + ", byte " + std::to_string(place) + "] ";
}

void Reader::fail(const std::string& rule) const { throw FormatError(where(offset_) + rule); }

void Reader::fail_truncated(const char* what, uint64_t need) const {
  fail("the file ends inside " + std::string(what) + ". Got " + std::to_string(remaining()) +
       " bytes, expected " + std::to_string(need) + ".");
}

std::string_view Reader::string(const char* what) {
  const uint64_t at = offset_;
  const auto length = scalar<uint64_t>(what);
  if (length > remaining()) {
    const uint64_t left = remaining();
    offset_ = at;
    fail("the length of " + std::string(what) + " exceeds the file. Got " + std::to_string(length) +
         " bytes, " + std::to_string(left) + " are left.");
  }
  const auto* data = reinterpret_cast<const char*>(bytes_.data() + offset_);
  offset_ += length;
  return {data, static_cast<size_t>(length)};
}

std::span<const uint8_t> Reader::take(uint64_t count, const char* what) {
  if (count > remaining()) fail_truncated(what, count);
  const std::span<const uint8_t> taken = bytes_.subspan(offset_, count);
  offset_ += count;
  return taken;
}

ValueType Reader::value_type(const char* what) {
  const uint64_t at = offset_;
  const auto id = scalar<uint32_t>(what);
  if (id < kValueTypes) return static_cast<ValueType>(id);
  offset_ = at;
  fail("unknown value type. Got " + std::to_string(id) + ", expected 0 to 12.");
}

bool Reader::boolean(const char* what) {
  const auto byte = scalar<uint8_t>(what);
  if (byte <= 1) return byte == 1;
  --offset_;
  fail(std::string(what) + " is no boolean. Got " + std::to_string(byte) + ", expected 0 or 1.");
}

ArrayHead read_array_head(Reader& reader) {
  ArrayHead head;
  head.element = reader.value_type("the type of an array");
  head.length = reader.scalar<uint64_t>("the length of an array");
  const uint64_t least = head.element == ValueType::String  ? kStringHead
                         : head.element == ValueType::Array ? kArrayHead
                                                            : value_size(head.element);
  if (head.length > reader.remaining() / least) {
    reader.fail("the array exceeds the file. Got " + std::to_string(head.length) +
                " elements of at least " + std::to_string(least) + " bytes, " +
                std::to_string(reader.remaining()) + " bytes are left.");
  }
  return head;
}

void skip_value(Reader& reader, ValueType type, int depth) {
  if (type == ValueType::Bool) {
    reader.boolean("a value");
  } else if (type == ValueType::String) {
    reader.string("a string");
  } else if (type != ValueType::Array) {
    reader.skip(value_size(type), "a value");
  } else {
    if (depth >= kMaxArrayDepth) {
      reader.fail("arrays are nested too deeply. The limit is " + std::to_string(kMaxArrayDepth) +
                  " levels.");
    }
    const ArrayHead head = read_array_head(reader);
    const uint32_t size = value_size(head.element);
    if (size != 0) {
      reader.skip(head.length * size, "an array");  // cannot wrap: read_array_head compared it
    } else {
      for (uint64_t i = 0; i < head.length; ++i) skip_value(reader, head.element, depth + 1);
    }
  }
}

}  // namespace gm::gguf
