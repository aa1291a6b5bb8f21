// SPDX-License-Identifier: MIT
// IQ2_XS: 256 values in 16 sub-blocks of 16, see iq2.h.
//   bytes 0-1    d       f16
//   bytes 2-65   qs      16 bits per 8 values: 9 bits of grid entry, 7 signs (the eighth makes
//   their
//                        number even)
//   bytes 66-73  scales  byte j / 2: scale j, high nibble for odd j
#pragma once

#include "formats/iq2.h"

namespace gm {

struct IQ2_XSBlock {
  static constexpr size_t kValues = 256;
  static constexpr const CodeBook& kBook = kIq2Book;
  uint16_t d;
  uint16_t qs[32];
  uint8_t scales[8];

  uint16_t d_bits() const noexcept { return d; }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    for (size_t j = 0; j < 16; ++j)
      out.scales[j] = static_cast<uint8_t>((scales[j / 2] >> (j % 2 * 4)) & 15);
    for (size_t k = 0; k < 32; ++k) {
      const uint32_t q = qs[k];
      out.put(8 * k, iq2_codes(kIq2XsGrid[q & 511], even_signs(q >> 9)));
    }
  }
};
static_assert(sizeof(IQ2_XSBlock) == 74);

}  // namespace gm
