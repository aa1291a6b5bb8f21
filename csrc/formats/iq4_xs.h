// SPDX-License-Identifier: MIT
// IQ4_XS: 256 values in 8 sub-blocks of 32, x = d * (scale[j] - 32) * kIq4Values[q].
//   bytes 0-1    d         f16
//   bytes 2-3    scales_h  bits 2j and 2j + 1: the high 2 bits of scale j (little endian)
//   bytes 4-7    scales_l  byte j / 2: the low 4 bits of scale j, high nibble for odd j
//   bytes 8-135  qs        16 bytes per sub-block: byte i: q[i] in the low nibble, q[i + 16] in the
//                          high nibble
#pragma once

#include "formats/iq4.h"

namespace gm {

struct IQ4_XSScales {
  uint8_t high[2];
  uint8_t low[4];

  int get(size_t j) const noexcept {  // 0..63
    return ((low[j / 2] >> (j % 2 * 4)) & 15) | (((high[j / 4] >> (j % 4 * 2)) & 3) << 4);
  }
  void add(size_t j, int scale) noexcept {  // to zeroed bits
    low[j / 2] = static_cast<uint8_t>(low[j / 2] | ((scale & 15) << (j % 2 * 4)));
    high[j / 4] = static_cast<uint8_t>(high[j / 4] | ((scale >> 4) << (j % 4 * 2)));
  }
};

struct IQ4_XSBlock {
  static constexpr size_t kValues = 256;
  uint16_t d;
  IQ4_XSScales scales;
  uint8_t qs[128];

  void decode(float* out) const noexcept {
    for (size_t j = 0; j < 8; ++j) {
      const float scale = f16_to_f32(d) * static_cast<float>(scales.get(j) - 32);
      for (size_t i = 0; i < 32; ++i) {
        const int q = (qs[16 * j + i % 16] >> (i / 16 * 4)) & 15;
        out[32 * j + i] = scale * static_cast<float>(kIq4Values[q]);
      }
    }
  }
  // The largest scale becomes -32.
  void encode(const float* in) noexcept {
    float step[8];
    for (size_t j = 0; j < 8; ++j) step[j] = iq4_scale(in + 32 * j);
    const float scale = f16_to_f32(f32_to_f16(signed_absmax(step, 8) / -32.0f));
    BlockParts parts{.d = scale};
    for (size_t j = 0; j < 8; ++j) {
      parts.scales[j] = clamp_round(step[j] * safe_inverse(scale), -32, 31);
      const float inverse = safe_inverse(scale * static_cast<float>(parts.scales[j]));
      for (size_t i = 32 * j; i < 32 * (j + 1); ++i)
        parts.codes[i] = static_cast<uint8_t>(iq4_code(in[i] * inverse));
    }
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {  // scales are -32..31
    *this = IQ4_XSBlock{};
    d = f32_to_f16(parts.d);
    for (size_t j = 0; j < 8; ++j) scales.add(j, parts.scales[j] + 32);
    for (size_t i = 0; i < 256; ++i) {
      uint8_t& byte = qs[i / 32 * 16 + i % 16];
      byte = static_cast<uint8_t>(byte | (parts.codes[i] << (i / 16 % 2 * 4)));
    }
  }
};
static_assert(sizeof(IQ4_XSBlock) == 136);

}  // namespace gm
