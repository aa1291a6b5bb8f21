// SPDX-License-Identifier: MIT
// Q3_K: 256 values in 16 sub-blocks of 16, x = d * (scale[j] - 32) * (q - 4).
//   bytes 0-31     hmask   bit k of byte l: the third bit of value 32 k + l
//   bytes 32-95    qs      low 2 bits: half n, value 32 s + l of it (s = 0..3): byte 32 n + l, bits
//                          2s and 2s + 1
//   bytes 96-107   scales  6 bits each: low 4 of scale j in byte j % 8, high nibble for j >= 8;
//                          high 2 in byte 8 + j % 4, bits 2 (j / 4) and above
//   bytes 108-109  d       f16
#pragma once

#include "formats/block.h"

namespace gm {

struct Q3_KBlock {
  static constexpr size_t kValues = 256;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;

  int scale(size_t j) const noexcept {  // -32..31
    const int low = (scales[j % 8] >> (j / 8 * 4)) & 15;
    return (low | (((scales[8 + j % 4] >> (j / 4 * 2)) & 3) << 4)) - 32;
  }
  void decode(float* out) const noexcept {
    for (size_t i = 0; i < 256; ++i) {
      const int low = (qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2)) & 3;
      const int q = (low | (((hmask[i % 32] >> (i / 32)) & 1) << 2)) - 4;
      out[i] = f16_to_f32(d) * static_cast<float>(scale(i / 16)) * static_cast<float>(q);
    }
  }
  void encode(const float* in) noexcept { pack(SignedFit(in, 4, 32).parts(in)); }
  void pack(const BlockParts& parts) noexcept {  // scales are -32..31
    *this = Q3_KBlock{};
    d = f32_to_f16(parts.d);
    for (size_t j = 0; j < 16; ++j) {
      const int s = parts.scales[j] + 32;
      scales[j % 8] = static_cast<uint8_t>(scales[j % 8] | ((s & 15) << (j / 8 * 4)));
      scales[8 + j % 4] = static_cast<uint8_t>(scales[8 + j % 4] | ((s >> 4) << (j / 4 * 2)));
    }
    for (size_t i = 0; i < 256; ++i) {
      const int q = parts.codes[i];
      uint8_t& low = qs[i / 128 * 32 + i % 32];
      low = static_cast<uint8_t>(low | ((q & 3) << (i / 32 % 4 * 2)));
      hmask[i % 32] = static_cast<uint8_t>(hmask[i % 32] | ((q >> 2) << (i / 32)));
    }
  }
};
static_assert(sizeof(Q3_KBlock) == 110);

}  // namespace gm
