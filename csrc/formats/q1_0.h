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
    BlockParts parts;
    for (size_t i = 0; i < 128; ++i) {
      parts.d += std::fabs(in[i]);
      parts.codes[i] = in[i] >= 0.0f;
    }
    parts.d /= 128.0f;
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {
    *this = Q1_0Block{};
    d = f32_to_f16(parts.d);
    for (size_t i = 0; i < 128; ++i)
      qs[i / 8] = static_cast<uint8_t>(qs[i / 8] | parts.codes[i] << (i % 8));
  }
};
static_assert(sizeof(Q1_0Block) == 18);

}  // namespace gm
