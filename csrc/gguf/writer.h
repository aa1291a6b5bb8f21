// SPDX-License-Identifier: MIT
// Writes GGUF v3 as a stream: first keys and tensor declarations, then the tensors' bytes in the
// order of declaration, in as many pieces as the caller likes. The header goes out with the first
// bytes; nothing is visible under the final name before close() (see FileWriter).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/file_writer.h"
#include "gguf/tensor_index.h"

namespace gm::gguf {

class Writer {
 public:
  // alignment: a power of two, 8 to 16777216. Throws FormatError, ResourceError.
  explicit Writer(const std::string& path, uint64_t alignment = kDefaultAlignment);

  // Metadata. Keys are non-empty UTF-8 and unique; general.alignment is written by the writer.
  // `value` holds value_size(type) bytes, little-endian. Throws FormatError.
  void add_scalar(std::string_view key, ValueType type, const void* value);
  void add_string(std::string_view key, std::string_view value);  // any bytes
  // `values` holds count x value_size(element) bytes.
  void add_array(std::string_view key, ValueType element, const void* values, uint64_t count);
  void add_strings(std::string_view key, std::span<const std::string> values);

  // Declares a tensor; dims in GGUF order (row length first). Names are unique UTF-8 of 1 to 63
  // bytes. Throws FormatError, ShapeError, UnsupportedError (unknown or removed type).
  void declare(std::string_view name, std::string_view type_name, std::span<const uint64_t> dims);
  // Appends bytes to the tensor, which is the first incomplete one. Throws ShapeError (too many
  // bytes, out of order), ResourceError (disk full).
  void write(std::string_view name, std::span<const uint8_t> data);
  // Throws ShapeError if a tensor is incomplete, ResourceError.
  void close();
  void abort() noexcept;

 private:
  struct Declared {
    std::string name;
    TypeInfo type;
    uint32_t n_dims;
    std::array<uint64_t, kMaxDims> dims;
    uint64_t bytes;
    uint64_t offset;  // in the data section
  };
  enum class State : uint8_t { Header, Data, Closed };

  void begin_pair(std::string_view key, ValueType type);
  void require_header(const std::string& what) const;
  void write_header();
  void pad();
  [[noreturn]] void fail(const std::string& item, const std::string& rule) const;

  FileWriter file_;
  uint64_t alignment_;
  State state_ = State::Header;
  std::string pairs_;  // the key-value section, as it will stand
  uint64_t pair_count_ = 0;
  std::unordered_set<std::string> names_;  // keys and tensors, told apart by a prefix
  std::vector<Declared> tensors_;
  uint64_t data_bytes_ = 0;  // declared so far, padded
  size_t current_ = 0;       // the tensor being written
  uint64_t written_ = 0;     // of it
};

}  // namespace gm::gguf
