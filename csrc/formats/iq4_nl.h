// SPDX-License-Identifier: MIT
// IQ4_NL: 32 values, x = d * kIq4Values[q].
//   bytes 0-1   d   f16
//   bytes 2-17  qs  byte i: q[i] in the low nibble, q[i + 16] in the high nibble
#pragma once

#include "formats/iq4.h"

namespace gm {

struct IQ4_NLBlock {
  static constexpr size_t kValues = 32;
  uint16_t d;
  uint8_t qs[16];

  void decode(float* out) const noexcept {
    const float scale = f16_to_f32(d);
    for (size_t i = 0; i < 16; ++i) {
      out[i] = scale * static_cast<float>(kIq4Values[qs[i] & 15]);
      out[i + 16] = scale * static_cast<float>(kIq4Values[qs[i] >> 4]);
    }
  }
  void encode(const float* in) noexcept {
    BlockParts parts{.d = f16_to_f32(f32_to_f16(iq4_scale(in)))};
    const float inverse = safe_inverse(parts.d);
    for (size_t i = 0; i < 32; ++i)
      parts.codes[i] = static_cast<uint8_t>(iq4_code(in[i] * inverse));
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {
    d = f32_to_f16(parts.d);
    for (size_t i = 0; i < 16; ++i)
      qs[i] = static_cast<uint8_t>(parts.codes[i] | (parts.codes[i + 16] << 4));
  }
};
static_assert(sizeof(IQ4_NLBlock) == 18);

}  // namespace gm
