// SPDX-License-Identifier: MIT
// Q2_0: 64 values, x = d * (q - 1), q in 0..3; ternary models leave out 3.
//   bytes 0-1   d   f16
//   bytes 2-17  qs  value i: byte i / 4, bits 2 (i % 4) and above
#pragma once

#include "formats/block.h"

namespace gm {

struct Q2_0Block {
  static constexpr size_t kValues = 64;
  uint16_t d;
  uint8_t qs[16];

  void decode(float* out) const noexcept {
    for (size_t i = 0; i < 64; ++i) {
      const int q = (qs[i / 4] >> (i % 4 * 2)) & 3;
      out[i] = static_cast<float>(q - 1) * f16_to_f32(d);
    }
  }
  // d is the largest magnitude, which no value exceeds, so that 3 is not used.
  void encode(const float* in) noexcept {
    BlockParts parts{.d = std::fabs(signed_absmax(in, 64))};
    const float inverse = safe_inverse(parts.d);
    for (size_t i = 0; i < 64; ++i) {
      const int q = clamp_round(std::round(in[i] * inverse), -1, 1) + 1;
      parts.codes[i] = static_cast<uint8_t>(q);
    }
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {
    *this = Q2_0Block{};
    d = f32_to_f16(parts.d);
    for (size_t i = 0; i < 64; ++i)
      qs[i / 4] = static_cast<uint8_t>(qs[i / 4] | parts.codes[i] << (i % 4 * 2));
  }
};
static_assert(sizeof(Q2_0Block) == 18);

}  // namespace gm
