// SPDX-License-Identifier: MIT
// Q4_0: 32 values, x = d * (q - 8).
//   bytes 0-1   d   f16
//   bytes 2-17  qs  byte i: q[i] in the low nibble, q[i + 16] in the high nibble
#pragma once

#include "formats/block.h"

namespace gm {

struct Q4_0Block {
  static constexpr size_t kValues = 32;
  uint16_t d;
  uint8_t qs[16];

  void decode(float* out) const noexcept {
    const float scale = f16_to_f32(d);
    for (size_t i = 0; i < 16; ++i) {
      out[i] = scale * static_cast<float>((qs[i] & 15) - 8);
      out[i + 16] = scale * static_cast<float>((qs[i] >> 4) - 8);
    }
  }
  // The value of largest magnitude becomes -8 exactly; truncation of x + 8.5, as ggml does.
  void encode(const float* in) noexcept {
    const float scale = signed_absmax(in, 32) / -8.0f;
    const float inverse = safe_inverse(scale);
    BlockParts parts{.d = scale};
    for (size_t i = 0; i < 32; ++i) {
      const int q = static_cast<int>(in[i] * inverse + 8.5f);
      parts.codes[i] = static_cast<uint8_t>(q > 15 ? 15 : q);
    }
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {
    d = f32_to_f16(parts.d);
    for (size_t i = 0; i < 16; ++i)
      qs[i] = static_cast<uint8_t>(parts.codes[i] | (parts.codes[i + 16] << 4));
  }
};
static_assert(sizeof(Q4_0Block) == 18);

}  // namespace gm
