// SPDX-License-Identifier: MIT
// TQ2_0: 256 values, x = d * (q - 1), q in 0..3.
//   bytes 0-63   qs  half h, value 32 s + m of it (s = 0..3): byte 32 h + m, bits 2 s and 2 s + 1
//   bytes 64-65  d   f16
#pragma once

#include "formats/ternary.h"

namespace gm {

struct TQ2_0Block {
  static constexpr size_t kValues = 256;
  static constexpr const CodeBook& kBook = kTernaryBook;
  uint8_t qs[64];
  uint16_t d;

  uint16_t d_bits() const noexcept { return d; }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    std::memset(out.scales, 0, sizeof out.scales);
    for (size_t i = 0; i < 256; ++i)
      out.codes[i] = static_cast<uint8_t>((qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2)) & 3);
  }
  void encode(const float* in) noexcept { pack(ternary_parts(in)); }
  void pack(const BlockParts& parts) noexcept {
    *this = TQ2_0Block{};
    d = f32_to_f16(parts.d);
    for (size_t i = 0; i < 256; ++i) {
      uint8_t& byte = qs[i / 128 * 32 + i % 32];
      byte = static_cast<uint8_t>(byte | parts.codes[i] << (i / 32 % 4 * 2));
    }
  }
};
static_assert(sizeof(TQ2_0Block) == 66);

}  // namespace gm
