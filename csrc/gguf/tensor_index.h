// SPDX-License-Identifier: MIT
// The tensor table of one GGUF file, validated: names, types, shapes, and byte ranges that lie
// inside the file, aligned and without overlap. After reading, every tensor's bytes can be used
// with no further check. All problems of a table are collected (up to ten) before it throws.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"
#include "gguf/reader.h"

namespace gm::gguf {

inline constexpr uint32_t kMaxDims = 4;
inline constexpr uint64_t kDefaultAlignment = 32;

struct TensorInfo {
  std::string_view name;  // into the map; valid UTF-8
  TypeInfo type;          // DataOnly or Supported
  uint32_t n_dims = 0;
  std::array<uint64_t, kMaxDims> dims = {1, 1, 1, 1};  // GGUF order: dims[0] is the row length
  uint64_t offset = 0;                                 // from the start of its part's file
  uint64_t bytes = 0;
  uint32_t part = 0;  // of a split file

  uint64_t cols() const noexcept { return dims[0]; }
  uint64_t rows() const noexcept { return dims[1] * dims[2] * dims[3]; }
  uint64_t row_bytes() const noexcept { return dims[0] / type.block_values * type.block_bytes; }
};

// Bytes of a tensor of that type and shape; 0 with the broken rule in `why` if there is none: a
// zero dimension, a product beyond 2^63, a row that is no multiple of the block.
uint64_t tensor_bytes(const TypeInfo& type, const std::array<uint64_t, kMaxDims>& dims,
                      std::string* why);

// Reads `count` entries at the reader's place; the data section starts at the next multiple of
// `alignment` (a power of two). Throws FormatError, or UnsupportedError if types are all that is
// wrong.
std::vector<TensorInfo> read_tensors(Reader& reader, uint64_t count, uint64_t alignment,
                                     uint32_t part);

}  // namespace gm::gguf
