// SPDX-License-Identifier: MIT
// What the block formats share: walking a row block by block, and the scale searches of the
// reference encoders.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"

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

}  // namespace gm
