// SPDX-License-Identifier: MIT
// Q2_K: 256 values in 16 sub-blocks of 16, x = d * scale[j] * q - dmin * min[j].
//   bytes 0-15   scales  byte j: scale j in the low nibble, min j in the high nibble
//   bytes 16-79  qs      half n, value 32 s + l of it (s = 0..3): byte 32 n + l, bits 2s and 2s + 1
//   bytes 80-81  d       f16
//   bytes 82-83  dmin    f16
#pragma once

#include "formats/k_scales.h"

namespace gm {

struct Q2_KBlock {
  static constexpr size_t kValues = 256;
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d, dmin;

  void decode(float* out) const noexcept {
    for (size_t i = 0; i < 256; ++i) {
      const float scale = f16_to_f32(d) * static_cast<float>(scales[i / 16] & 15);
      const float min = f16_to_f32(dmin) * static_cast<float>(scales[i / 16] >> 4);
      const int q = (qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2)) & 3;
      out[i] = scale * static_cast<float>(q) - min;
    }
  }
  void encode(const float* in) noexcept { pack(KEncoding<16, 15>::fit(in, 3).parts(in, 3)); }
  void pack(const BlockParts& parts) noexcept {
    *this = Q2_KBlock{};
    d = f32_to_f16(parts.d);
    dmin = f32_to_f16(parts.m);
    for (size_t j = 0; j < 16; ++j)
      scales[j] = static_cast<uint8_t>(parts.scales[j] | (parts.mins[j] << 4));
    for (size_t i = 0; i < 256; ++i) {
      uint8_t& byte = qs[i / 128 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | (parts.codes[i] << (i / 32 % 4 * 2)));
    }
  }
};
static_assert(sizeof(Q2_KBlock) == 84);

}  // namespace gm
