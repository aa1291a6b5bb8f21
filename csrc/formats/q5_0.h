// SPDX-License-Identifier: MIT
// Q5_0: 32 values, x = d * (q - 16).
//   bytes 0-1   d   f16
//   bytes 2-5   qh  bit i: the fifth bit of q[i]
//   bytes 6-21  qs  byte i: low 4 bits of q[i], then of q[i + 16] in the high nibble
#pragma once

#include "formats/block.h"

namespace gm {

struct Q5_0Block {
  static constexpr size_t kValues = 32;
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];

  int code(size_t i) const noexcept {
    const int low = i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
    return low | (((qh[i / 8] >> (i % 8)) & 1) << 4);
  }
  void decode(float* out) const noexcept {
    for (size_t i = 0; i < 32; ++i) out[i] = f16_to_f32(d) * static_cast<float>(code(i) - 16);
  }
  // The value of largest magnitude becomes -16 exactly; truncation of x + 16.5, as ggml does.
  void encode(const float* in) noexcept {
    const float scale = signed_absmax(in, 32) / -16.0f;
    const float inverse = safe_inverse(scale);
    BlockParts parts{.d = scale};
    for (size_t i = 0; i < 32; ++i) {
      const int q = static_cast<int>(in[i] * inverse + 16.5f);
      parts.codes[i] = static_cast<uint8_t>(q > 31 ? 31 : q);
    }
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {
    *this = Q5_0Block{};
    d = f32_to_f16(parts.d);
    for (size_t i = 0; i < 32; ++i) {
      const int q = parts.codes[i];
      qs[i % 16] = static_cast<uint8_t>(qs[i % 16] | ((q & 15) << (i < 16 ? 0 : 4)));
      qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | ((q >> 4) << (i % 8)));
    }
  }
};
static_assert(sizeof(Q5_0Block) == 22);

}  // namespace gm
