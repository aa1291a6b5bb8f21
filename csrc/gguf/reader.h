// SPDX-License-Identifier: MIT
// A bounds-checked cursor over hostile bytes, and the value types of GGUF metadata. Every length is
// compared with the bytes that are left before it is used, so no sum can wrap and no count can make
// us allocate. Nothing is copied: strings are views into the map.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace gm::gguf {

enum class ValueType : uint32_t {
  Uint8 = 0,
  Int8 = 1,
  Uint16 = 2,
  Int16 = 3,
  Uint32 = 4,
  Int32 = 5,
  Float32 = 6,
  Bool = 7,
  String = 8,
  Array = 9,
  Uint64 = 10,
  Int64 = 11,
  Float64 = 12,
};
inline constexpr uint32_t kValueTypes = 13;

// "uint32", "string", ...; "unknown" outside the list.
std::string_view value_type_name(ValueType type) noexcept;
// The type of that name; false (out untouched) if there is none.
[[nodiscard]] bool parse_value_type(std::string_view name, ValueType* out) noexcept;
// Bytes of a value of fixed size; 0 for strings and arrays.
uint32_t value_size(ValueType type) noexcept;

bool is_utf8(std::string_view text) noexcept;
// 'text' for messages: control and non-ASCII bytes escaped, cut after 80 bytes.
std::string quoted(std::string_view text);

class Reader {
 public:
  // `file` and the bytes must outlive the reader. start <= bytes.size().
  Reader(std::span<const uint8_t> bytes, std::string_view file, uint64_t start = 0) noexcept
      : bytes_(bytes), file_(file), offset_(start) {}

  uint64_t offset() const noexcept { return offset_; }
  uint64_t remaining() const noexcept { return bytes_.size() - offset_; }
  // What messages name from here on: "key 'a.b'", "tensor 'x'". `name` must stay valid.
  void set_item(std::string_view kind, std::string_view name) noexcept {
    kind_ = kind;
    name_ = name;
  }

  // The reads throw FormatError if the file ends before the value does.
  template <class T>
  T scalar(const char* what) {
    if (remaining() < sizeof(T)) fail_truncated(what, sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }
  std::string_view string(const char* what);  // u64 length, then that many bytes
  std::span<const uint8_t> take(uint64_t count, const char* what);
  void skip(uint64_t count, const char* what) { take(count, what); }
  ValueType value_type(const char* what);
  bool boolean(const char* what);  // a byte that is 0 or 1

  // "[file, key 'a.b', byte 123] rule", as FormatError.
  [[noreturn]] void fail(const std::string& rule) const;
  std::string where(uint64_t place) const;  // "[file, key 'a.b', byte <place>] "

 private:
  [[noreturn]] void fail_truncated(const char* what, uint64_t need) const;

  std::span<const uint8_t> bytes_;
  std::string_view file_;
  std::string_view kind_;
  std::string_view name_;
  uint64_t offset_ = 0;
};

// The header of an array: element type and count, checked against the bytes that are left.
struct ArrayHead {
  ValueType element = ValueType::Uint8;
  uint64_t length = 0;
};
ArrayHead read_array_head(Reader& reader);
inline constexpr int kMaxArrayDepth = 4;  // nobody nests; a limit keeps the recursion flat

// Moves past one value without reading its contents: O(1) for fixed sizes and arrays of them, one
// step per element for arrays of strings. `depth` is the number of arrays around it.
void skip_value(Reader& reader, ValueType type, int depth = 0);

}  // namespace gm::gguf
