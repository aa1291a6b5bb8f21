// SPDX-License-Identifier: MIT
// Q1_0: 128 values, x = d where the bit is set, else -d.
//   bytes 0-1   d   f16
//   bytes 2-17  qs  value i: byte i / 8, bit i % 8
#pragma once

#include "formats/block.h"

namespace gm {

struct Q1_0Block {
  static constexpr size_t kValues = 128;
  uint16_t d;
  uint8_t qs[16];

  void decode(float* out) const noexcept {
    const float scale = f16_to_f32(d);
    for (size_t i = 0; i < 128; ++i) out[i] = (qs[i / 8] >> (i % 8)) & 1 ? scale : -scale;
  }
  // d is the mean magnitude, which has the least error.
  void encode(const float* in) noexcept {
    float sum = 0.0f;
    *this = Q1_0Block{};
    for (size_t i = 0; i < 128; ++i) {
      sum += std::fabs(in[i]);
      if (in[i] >= 0.0f) qs[i / 8] = static_cast<uint8_t>(qs[i / 8] | 1 << (i % 8));
    }
    d = f32_to_f16(sum / 128.0f);
  }
};
static_assert(sizeof(Q1_0Block) == 18);

}  // namespace gm
