// SPDX-License-Identifier: MIT
// What the core knows of a GGUF tensor type: its name, id, block geometry, and, if it has kernels,
// the reference decode, the encoder and the activation it multiplies. Everything else about a
// format lives in its own header (q4_k.h) and its unpack file (kernels/unpack/q4_k.inl.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "formats/block_parts.h"

namespace gm {

// A format with kernels; dense, so that it indexes tables.
enum class Format : uint8_t {
#define GM_FORMAT(Name, id, values, bytes, Act) Name,
#include "formats/formats.def"
};

inline constexpr size_t kFormatCount = 0
#define GM_FORMAT(Name, id, values, bytes, Act) +1
#include "formats/formats.def"
    ;

// How activations are stored for a product: see formats/activation.h.
enum class ActKind : uint8_t { F32, Q8_32, Q8_256 };
inline constexpr size_t kActKindCount = 3;

enum class TypeStatus : uint8_t { Unknown, Removed, DataOnly, Supported };

struct TypeInfo {
  std::string_view name = "unknown";
  uint32_t id = 0;
  uint32_t block_values = 0;  // values per block along the row
  uint32_t block_bytes = 0;
  TypeStatus status = TypeStatus::Unknown;
  Format format = Format::F32;  // meaningful if Supported
  ActKind act = ActKind::F32;   // meaningful if Supported
};

// Never fails: an id that is not in formats.def has status Unknown.
TypeInfo type_info(uint32_t ggml_id) noexcept;
// By name ("Q4_K"), case-insensitive; status Unknown if there is none.
TypeInfo type_info(std::string_view name) noexcept;
TypeInfo type_info(Format format) noexcept;

// Reference conversions, one row at a time; n is a multiple of block_values.
// decode: blocks -> n f32, bit-equal to ggml's dequantizers.
// encode: n f32 -> blocks; round-to-nearest, no importance weights; null for the grid formats
// (IQ1, IQ2, IQ3), which are no use without such weights.
using DecodeRow = void (*)(const void* blocks, float* out, size_t n) noexcept;
using EncodeRow = void (*)(const float* in, void* blocks, size_t n) noexcept;
// One block from its parts; null for types without blocks, and for the grid formats.
using PackBlock = void (*)(const BlockParts& parts, void* block) noexcept;
PackBlock pack_block(Format format) noexcept;
DecodeRow decode_row(Format format) noexcept;
EncodeRow encode_row(Format format) noexcept;

}  // namespace gm
