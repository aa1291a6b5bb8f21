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
    pack(fit.parts(in, 32));
  }
  void pack(const BlockParts& parts) noexcept {
    d = f32_to_f16(parts.d);
    m = f32_to_f16(parts.m);
    for (size_t i = 0; i < 16; ++i)
      qs[i] = static_cast<uint8_t>(parts.codes[i] | (parts.codes[i + 16] << 4));
  }
};
static_assert(sizeof(Q4_1Block) == 20);

}  // namespace gm
