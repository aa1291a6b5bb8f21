// SPDX-License-Identifier: MIT
// Q5_1: 32 values, x = d * q + m.
//   bytes 0-1   d   f16
//   bytes 2-3   m   f16
//   bytes 4-7   qh  bit i: the fifth bit of q[i]
//   bytes 8-23  qs  byte i: low 4 bits of q[i], then of q[i + 16] in the high nibble
#pragma once

#include "formats/block.h"

namespace gm {

struct Q5_1Block {
  static constexpr size_t kValues = 32;
  uint16_t d, m;
  uint8_t qh[4];
  uint8_t qs[16];

  void decode(float* out) const noexcept {
    const float scale = f16_to_f32(d), min = f16_to_f32(m);
    for (size_t i = 0; i < 32; ++i) {
      const int low = i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
      const int q = low | (((qh[i / 8] >> (i % 8)) & 1) << 4);
      out[i] = scale * static_cast<float>(q) + min;
    }
  }
  void encode(const float* in) noexcept {
    const OffsetFit fit(in, 32, 31);
    pack(fit.parts(in, 32));
  }
  void pack(const BlockParts& parts) noexcept {
    *this = Q5_1Block{};
    d = f32_to_f16(parts.d);
    m = f32_to_f16(parts.m);
    for (size_t i = 0; i < 32; ++i) {
      const int q = parts.codes[i];
      qs[i % 16] = static_cast<uint8_t>(qs[i % 16] | ((q & 15) << (i < 16 ? 0 : 4)));
      qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | ((q >> 4) << (i % 8)));
    }
  }
};
static_assert(sizeof(Q5_1Block) == 24);

}  // namespace gm
