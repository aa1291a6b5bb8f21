// SPDX-License-Identifier: MIT
// TQ1_0: 256 ternary values, 5 to a byte, x = d * (t - 1). A byte is its base-3 fraction: the top
// digit is byte * 3 / 256, the next that of byte * 3 modulo 256, and so on.
//   bytes 0-31   qs  digit n of byte m: value 32 n + m
//   bytes 32-47      digit n of byte m: value 160 + 16 n + m
//   bytes 48-51  qh  digit n (of 4) of byte m: value 240 + 4 n + m
//   bytes 52-53  d   f16
#pragma once

#include "formats/ternary.h"

namespace gm {

struct TQ1_0Block {
  static constexpr size_t kValues = 256;
  static constexpr const CodeBook& kBook = kTernaryBook;
  uint8_t q[52];
  uint16_t d;

  // f(byte, digits, value of digit 0, distance of the digits' values)
  template <class F>
  static void each_byte(const F& f) noexcept {
    for (size_t m = 0; m < 32; ++m) f(m, size_t{5}, m, size_t{32});
    for (size_t m = 0; m < 16; ++m) f(32 + m, size_t{5}, 160 + m, size_t{16});
    for (size_t m = 0; m < 4; ++m) f(48 + m, size_t{4}, 240 + m, size_t{4});
  }

  uint16_t d_bits() const noexcept { return d; }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    std::memset(out.scales, 0, sizeof out.scales);
    each_byte([&](size_t byte, size_t digits, size_t at, size_t step) {
      unsigned fraction = q[byte];
      for (size_t n = 0; n < digits; ++n, fraction = fraction * 3 & 255)
        out.codes[at + n * step] = static_cast<uint8_t>(fraction * 3 >> 8);
    });
  }
  void encode(const float* in) noexcept { pack(ternary_parts(in)); }
  void pack(const BlockParts& parts) noexcept {
    d = f32_to_f16(parts.d);
    each_byte([&](size_t byte, size_t digits, size_t at, size_t step) {
      int number = 0;  // of 5 digits, the fifth of qh is 0
      for (size_t n = 0; n < 5; ++n)
        number = 3 * number + (n < digits ? parts.codes[at + n * step] : 0);
      q[byte] = static_cast<uint8_t>((number * 256 + 242) / 243);
    });
  }
};
static_assert(sizeof(TQ1_0Block) == 54);

}  // namespace gm
