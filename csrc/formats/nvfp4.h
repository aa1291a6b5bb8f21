// SPDX-License-Identifier: MIT
// NVFP4: 64 values in 4 sub-blocks of 16, x = scale(d[j]) * kMxfp4Values[q]. A scale is an unsigned
// float of 4 exponent and 3 mantissa bits (bias 7), halved for the table.
//   bytes 0-3   d   a scale per sub-block; 127 is NaN and stands for 0, the top bit means nothing
//   bytes 4-35  qs  8 bytes per sub-block: byte i: q[i] in the low nibble, q[i + 8] in the high one
#pragma once

#include "formats/block.h"
#include "formats/code_tables.h"

namespace gm {

struct NVFP4Block {
  static constexpr size_t kValues = 64;
  uint8_t d[4];
  uint8_t qs[32];

  static constexpr float scale(uint8_t e) noexcept {
    if (e == 0x7f) return 0.0f;
    const int exponent = (e >> 3) & 15, mantissa = e & 7;
    // A denormal has the exponent of 1 and no leading bit.
    const int significand = exponent == 0 ? mantissa : mantissa | 8;
    return static_cast<float>(significand << (exponent == 0 ? 0 : exponent - 1)) * 0x1p-10f;
  }
  void decode(float* out) const noexcept {
    for (size_t i = 0; i < 64; ++i) {
      const int q = (qs[i / 16 * 8 + i % 8] >> (i % 16 / 8 * 4)) & 15;
      out[i] = scale(d[i / 16]) * static_cast<float>(kMxfp4Values[q]);
    }
  }
  // The least scale that reaches the largest magnitude, then the nearest codes.
  void encode(const float* in) noexcept {
    BlockParts parts;
    for (size_t j = 0; j < 4; ++j) {
      const float largest = std::fabs(signed_absmax(in + 16 * j, 16));
      uint8_t e = 0;
      while (e < 0x7e && !(scale(e) * 12.0f >= largest)) ++e;
      parts.scales[j] = e;
      const float inverse = safe_inverse(scale(e));
      for (size_t i = 16 * j; i < 16 * (j + 1); ++i)
        parts.codes[i] = static_cast<uint8_t>(nearest(in[i] * inverse));
    }
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {
    *this = NVFP4Block{};
    for (size_t j = 0; j < 4; ++j) d[j] = static_cast<uint8_t>(parts.scales[j]);
    for (size_t i = 0; i < 64; ++i) {
      uint8_t& byte = qs[i / 16 * 8 + i % 8];
      byte = static_cast<uint8_t>(byte | parts.codes[i] << (i / 8 % 2 * 4));
    }
  }

 private:
  static int nearest(float x) noexcept {
    int q = 0;
    while (q < 7 && 2.0f * std::fabs(x) > static_cast<float>(kMxfp4Values[q] + kMxfp4Values[q + 1]))
      ++q;
    return x < 0.0f ? q | 8 : q;
  }
};
static_assert(sizeof(NVFP4Block) == 36);

}  // namespace gm
