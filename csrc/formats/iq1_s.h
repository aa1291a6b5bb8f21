// SPDX-License-Identifier: MIT
// IQ1_S: 256 values in 8 sub-blocks of 32; 8 ternary values come from a grid and all of a sub-block
// are shifted by an eighth: x = d * (2 scale + 1) * (t + 1/8), or - 1/8. With t + 1 as the code
// that is d / 8 * (2 scale + 1) * (8 code - 7), or - 9.
//   bytes 0-1    d   f16
//   bytes 2-33   qs  the low 8 bits of a grid entry per 8 values
//   bytes 34-49  qh  16 bits per sub-block: 3 high bits for each of its 4 entries, 3 bits of scale,
//                    the sign of the shift
#pragma once

#include "formats/codes.h"
#include "formats/iq1_grid.h"

namespace gm {

struct IQ1_SBlock {
  static constexpr size_t kValues = 256;
  // A scale code is the scale and, above it, the sign of the shift.
  static constexpr CodeBook kBook = [] {
    CodeBook book{0.125f, {0, 1, 2}, {}, {}};
    for (int s = 0; s < 16; ++s) {
      const int scale = 2 * (s & 7) + 1;
      book.scales[s] = static_cast<uint8_t>(8 * scale);
      book.mins[s] = static_cast<uint8_t>((s < 8 ? 7 : 9) * scale);
    }
    return book;
  }();
  uint16_t d;
  uint8_t qs[32];
  uint16_t qh[8];

  uint16_t d_bits() const noexcept { return d; }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    for (size_t k = 0; k < 32; ++k) {
      const int bits = qh[k / 4];
      out.scales[k / 2] = static_cast<uint8_t>(bits >> 12);
      out.put(8 * k, bytes_of_pairs(kIq1Grid[qs[k] | ((bits >> (k % 4 * 3)) & 7) << 8]));
    }
  }
};
static_assert(sizeof(IQ1_SBlock) == 50);

}  // namespace gm
