// SPDX-License-Identifier: MIT
// Q5_K: 256 values in 8 sub-blocks of 32, x = d * scale[j] * q - dmin * min[j].
//   bytes 0-1     d     f16
//   bytes 2-3     dmin  f16
//   bytes 4-15    scales and minima, 6 bits each (k_scales.h)
//   bytes 16-47   qh    bit j of byte i: the fifth bit of value i of sub-block j
//   bytes 48-175  qs    32 bytes per pair of sub-blocks: 2i in the low, 2i + 1 in the high nibbles
#pragma once

#include "formats/k_scales.h"

namespace gm {

struct Q5_KBlock {
  static constexpr size_t kValues = 256;
  uint16_t d, dmin;
  KScales scales;
  uint8_t qh[32];
  uint8_t qs[128];

  void decode(float* out) const noexcept {
    for (size_t j = 0; j < 8; ++j) {
      const float scale = f16_to_f32(d) * static_cast<float>(scales.scale(j));
      const float min = f16_to_f32(dmin) * static_cast<float>(scales.min(j));
      for (size_t i = 0; i < 32; ++i) {
        const int q = ((qs[j / 2 * 32 + i] >> (j % 2 * 4)) & 15) | (((qh[i] >> j) & 1) << 4);
        out[32 * j + i] = scale * static_cast<float>(q) - min;
      }
    }
  }
  void encode(const float* in) noexcept { pack(KEncoding<8, 63>::fit(in, 31).parts(in, 31)); }
  void pack(const BlockParts& parts) noexcept {
    *this = Q5_KBlock{};
    d = f32_to_f16(parts.d);
    dmin = f32_to_f16(parts.m);
    scales.set(parts.scales, parts.mins);
    for (size_t i = 0; i < 256; ++i) {
      const size_t j = i / 32;
      const int q = parts.codes[i];
      uint8_t& byte = qs[j / 2 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | ((q & 15) << (j % 2 * 4)));
      qh[i % 32] = static_cast<uint8_t>(qh[i % 32] | ((q >> 4) << j));
    }
  }
};
static_assert(sizeof(Q5_KBlock) == 176);

}  // namespace gm
