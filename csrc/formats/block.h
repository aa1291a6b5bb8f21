// SPDX-License-Identifier: MIT
// What the block formats share: walking a row block by block, and the scale searches of the
// reference encoders.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "formats/block_parts.h"

namespace gm {

// Row conversions of a format whose Block has kValues, decode(float*) and encode(const float*).
template <class Block>
struct BlockRow {
  static void decode(const void* blocks, float* out, size_t n) noexcept {
    const auto* in = static_cast<const uint8_t*>(blocks);
    Block block;  // copied out: blocks of a file have no alignment
    for (size_t i = 0; i < n; i += Block::kValues, in += sizeof block) {
      std::memcpy(&block, in, sizeof block);
      block.decode(out + i);
    }
  }
  static void encode(const float* in, void* blocks, size_t n) noexcept {
    auto* out = static_cast<uint8_t*>(blocks);
    Block block;
    for (size_t i = 0; i < n; i += Block::kValues, out += sizeof block) {
      block.encode(in + i);
      std::memcpy(out, &block, sizeof block);
    }
  }
  static void pack(const BlockParts& parts, void* out) noexcept {
    Block block;
    block.pack(parts);
    std::memcpy(out, &block, sizeof block);
  }
};

// The value of largest magnitude, with its sign.
inline float signed_absmax(const float* x, size_t n) noexcept {
  float best = 0.0f;
  for (size_t i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(best)) best = x[i];
  return best;
}

// 1 / x, or 0 where that would not be finite.
inline float safe_inverse(float x) noexcept {
  const float inverse = x != 0.0f ? 1.0f / x : 0.0f;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// Nearest integer within [lo, hi]; NaN becomes lo.
inline int clamp_round(float x, int lo, int hi) noexcept {
  if (!(x > static_cast<float>(lo))) return lo;
  if (x >= static_cast<float>(hi)) return hi;
  return static_cast<int>(std::nearbyint(x));
}

// x ~ step * code + min with codes 0..levels between the least and the largest value.
struct OffsetFit {
  float step, min, inverse;
  int levels;

  OffsetFit(const float* x, size_t n, int top) noexcept : min(x[0]), levels(top) {
    float max = x[0];
    for (size_t i = 1; i < n; ++i) {
      min = std::fmin(min, x[i]);
      max = std::fmax(max, x[i]);
    }
    step = (max - min) / static_cast<float>(levels);
    inverse = safe_inverse(step);
  }
  // Truncation of the code + 0.5, as ggml does; NaN becomes 0.
  int code(float x) const noexcept {
    const float raw = (x - min) * inverse + 0.5f;
    if (!(raw > 0.0f)) return 0;
    return raw < static_cast<float>(levels) ? static_cast<int>(raw) : levels;
  }
  BlockParts parts(const float* x, size_t n) const noexcept {
    BlockParts out{.d = step, .m = min};
    for (size_t i = 0; i < n; ++i) out.codes[i] = static_cast<uint8_t>(code(x[i]));
    return out;
  }
};

// 256 values in 16 sub-blocks, x ~ d * scales[j] * (code - offset): the value of largest magnitude
// of each sub-block becomes code 0, the largest scale -max_scale.
struct SignedFit {
  uint16_t d;  // f16
  int scales[16], offset;

  SignedFit(const float* x, int code_offset, int max_scale) noexcept : offset(code_offset) {
    float step[16];
    for (size_t j = 0; j < 16; ++j)
      step[j] = signed_absmax(x + 16 * j, 16) / static_cast<float>(-offset);
    d = f32_to_f16(signed_absmax(step, 16) / static_cast<float>(-max_scale));
    const float inverse = safe_inverse(f16_to_f32(d));
    for (size_t j = 0; j < 16; ++j)
      scales[j] = clamp_round(step[j] * inverse, -max_scale, max_scale - 1);
  }
  int code(float x, size_t j) const noexcept {
    const float inverse = safe_inverse(f16_to_f32(d) * static_cast<float>(scales[j]));
    return clamp_round(x * inverse, -offset, offset - 1) + offset;
  }
  BlockParts parts(const float* x) const noexcept {
    BlockParts out{.d = f16_to_f32(d)};
    for (size_t j = 0; j < 16; ++j) out.scales[j] = scales[j];
    for (size_t i = 0; i < 256; ++i) out.codes[i] = static_cast<uint8_t>(code(x[i], i / 16));
    return out;
  }
};

}  // namespace gm
