// SPDX-License-Identifier: MIT
// Q4_K: 256 values in 8 sub-blocks of 32, x = d * scale[j] * q - dmin * min[j].
//   bytes 0-1     d     f16
//   bytes 2-3     dmin  f16
//   bytes 4-15    scales and minima, 6 bits each (k_scales.h)
//   bytes 16-143  qs    32 bytes per pair of sub-blocks: 2i in the low, 2i + 1 in the high nibbles
#pragma once

#include "formats/k_scales.h"

namespace gm {

struct Q4_KBlock {
  static constexpr size_t kValues = 256;
  uint16_t d, dmin;
  KScales scales;
  uint8_t qs[128];

  void decode(float* out) const noexcept {
    for (size_t j = 0; j < 8; ++j) {
      const float scale = f16_to_f32(d) * static_cast<float>(scales.scale(j));
      const float min = f16_to_f32(dmin) * static_cast<float>(scales.min(j));
      for (size_t i = 0; i < 32; ++i) {
        const int q = (qs[j / 2 * 32 + i] >> (j % 2 * 4)) & 15;
        out[32 * j + i] = scale * static_cast<float>(q) - min;
      }
    }
  }
  void encode(const float* in) noexcept { pack(KEncoding<8, 63>::fit(in, 15).parts(in, 15)); }
  void pack(const BlockParts& parts) noexcept {
    *this = Q4_KBlock{};
    d = f32_to_f16(parts.d);
    dmin = f32_to_f16(parts.m);
    scales.set(parts.scales, parts.mins);
    for (size_t i = 0; i < 256; ++i) {
      const size_t j = i / 32;
      uint8_t& byte = qs[j / 2 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | (parts.codes[i] << (j % 2 * 4)));
    }
  }
};
static_assert(sizeof(Q4_KBlock) == 144);

}  // namespace gm
