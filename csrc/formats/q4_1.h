// SPDX-License-Identifier: MIT
// Q4_1: 32 values, x = d * q + m.
//   bytes 0-1   d   f16
//   bytes 2-3   m   f16
//   bytes 4-19  qs  byte i: q[i] in the low nibble, q[i + 16] in the high nibble
#pragma once

#include "formats/block.h"

namespace gm {

struct Q4_1Block {
  static constexpr size_t kValues = 32;
  uint16_t d, m;
  uint8_t qs[16];

  void decode(float* out) const noexcept {
    const float scale = f16_to_f32(d), min = f16_to_f32(m);
    for (size_t i = 0; i < 16; ++i) {
      out[i] = scale * static_cast<float>(qs[i] & 15) + min;
      out[i + 16] = scale * static_cast<float>(qs[i] >> 4) + min;
    }
  }
  void encode(const float* in) noexcept {
    const OffsetFit fit(in, 32, 15);
    d = f32_to_f16(fit.step);
    m = f32_to_f16(fit.min);
    for (size_t i = 0; i < 16; ++i)
      qs[i] = static_cast<uint8_t>(fit.code(in[i]) | (fit.code(in[i + 16]) << 4));
  }
};
static_assert(sizeof(Q4_1Block) == 20);

}  // namespace gm
