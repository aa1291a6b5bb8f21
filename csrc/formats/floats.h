// SPDX-License-Identifier: MIT
// F32, F16 and BF16: one value per block, little endian, row after row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"

namespace gm {

struct F32Row {
  static void decode(const void* blocks, float* out, size_t n) noexcept {
    std::memcpy(out, blocks, n * sizeof(float));
  }
  static void encode(const float* in, void* blocks, size_t n) noexcept {
    std::memcpy(blocks, in, n * sizeof(float));
  }
};

// A 16-bit format given by its two conversions.
template <float (*Widen)(uint16_t), uint16_t (*Narrow)(float)>
struct HalfRow {
  static void decode(const void* blocks, float* out, size_t n) noexcept {
    const auto* in = static_cast<const uint8_t*>(blocks);
    for (size_t i = 0; i < n; ++i) {
      uint16_t h;
      std::memcpy(&h, in + 2 * i, 2);
      out[i] = Widen(h);
    }
  }
  static void encode(const float* in, void* blocks, size_t n) noexcept {
    auto* out = static_cast<uint8_t*>(blocks);
    for (size_t i = 0; i < n; ++i) {
      const uint16_t h = Narrow(in[i]);
      std::memcpy(out + 2 * i, &h, 2);
    }
  }
};

}  // namespace gm
