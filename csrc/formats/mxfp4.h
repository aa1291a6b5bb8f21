// SPDX-License-Identifier: MIT
// MXFP4: 32 values, x = 2^(e - 128) * kMxfp4Values[q]: an E8M0 scale, halved because the table
// holds the doubled E2M1 values. 255, NaN in the OCP specification, is 2^127 here, as in ggml.
//   byte 0      e
//   bytes 1-16  qs  byte i: q[i] in the low nibble, q[i + 16] in the high nibble
#pragma once

#include <bit>

#include "formats/block.h"
#include "formats/code_tables.h"

namespace gm {

struct MXFP4Block {
  static constexpr size_t kValues = 32;
  uint8_t e;
  uint8_t qs[16];

  float scale() const noexcept {  // exact: 2^-128 and 2^-127 are denormal
    return std::bit_cast<float>(e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
  }
  void decode(float* out) const noexcept {
    for (size_t i = 0; i < 16; ++i) {
      out[i] = scale() * static_cast<float>(kMxfp4Values[qs[i] & 15]);
      out[i + 16] = scale() * static_cast<float>(kMxfp4Values[qs[i] >> 4]);
    }
  }
  // The scale puts the largest magnitude in [8, 16) of the table, whose end is 12; then the nearest
  // code, the first of two that are equally near.
  void encode(const float* in) noexcept {
    const float largest = std::fabs(signed_absmax(in, 32));
    const int exponent = static_cast<int>(std::bit_cast<uint32_t>(largest) >> 23);  // biased by 127
    e = static_cast<uint8_t>(exponent > 2 ? exponent - 2 : 0);
    const auto code = [&](float x) {
      int best = 0;
      float least = std::fabs(x);
      for (int q = 1; q < 16; ++q) {
        const float error = std::fabs(scale() * static_cast<float>(kMxfp4Values[q]) - x);
        if (error < least) {
          least = error;
          best = q;
        }
      }
      return best;
    };
    BlockParts parts;
    parts.scales[0] = e;
    for (size_t i = 0; i < 32; ++i) parts.codes[i] = static_cast<uint8_t>(code(in[i]));
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {
    e = static_cast<uint8_t>(parts.scales[0]);
    for (size_t i = 0; i < 16; ++i)
      qs[i] = static_cast<uint8_t>(parts.codes[i] | (parts.codes[i + 16] << 4));
  }
};
static_assert(sizeof(MXFP4Block) == 17);

}  // namespace gm
