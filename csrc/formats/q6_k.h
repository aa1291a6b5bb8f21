// SPDX-License-Identifier: MIT
// Q6_K: 256 values in 16 sub-blocks of 16, x = d * scale[j] * (q - 32).
//   bytes 0-127    ql      low 4 bits: half n, value 32 g + l of it (g = 0..3):
//                          byte 64 n + 32 (g % 2) + l, low nibble for g < 2, high nibble otherwise
//   bytes 128-191  qh      high 2 bits: byte 32 n + l, bits 2g and 2g + 1
//   bytes 192-207  scales  16 int8
//   bytes 208-209  d       f16
#pragma once

#include "formats/block.h"

namespace gm {

struct Q6_KBlock {
  static constexpr size_t kValues = 256;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;

  int code(size_t i) const noexcept {
    const size_t n = i / 128, g = i % 128 / 32, l = i % 32;
    const int low = (ql[64 * n + 32 * (g % 2) + l] >> (g / 2 * 4)) & 15;
    return low | (((qh[32 * n + l] >> (2 * g)) & 3) << 4);
  }
  void decode(float* out) const noexcept {
    for (size_t i = 0; i < 256; ++i) {
      const float scale = f16_to_f32(d) * static_cast<float>(scales[i / 16]);
      out[i] = scale * static_cast<float>(code(i) - 32);
    }
  }
  void encode(const float* in) noexcept { pack(SignedFit(in, 32, 128).parts(in)); }
  void pack(const BlockParts& parts) noexcept {
    *this = Q6_KBlock{};
    d = f32_to_f16(parts.d);
    for (size_t j = 0; j < 16; ++j) scales[j] = static_cast<int8_t>(parts.scales[j]);
    for (size_t i = 0; i < 256; ++i) {
      const int q = parts.codes[i];
      const size_t n = i / 128, g = i % 128 / 32, l = i % 32;
      uint8_t& low = ql[64 * n + 32 * (g % 2) + l];
      low = static_cast<uint8_t>(low | ((q & 15) << (g / 2 * 4)));
      qh[32 * n + l] = static_cast<uint8_t>(qh[32 * n + l] | ((q >> 4) << (2 * g)));
    }
  }
};
static_assert(sizeof(Q6_KBlock) == 210);

}  // namespace gm
