// SPDX-License-Identifier: MIT
// IQ2_XXS: 256 values in 8 sub-blocks of 32, see iq2.h.
//   bytes 0-1   d   f16
//   bytes 2-65  qs  8 bytes per sub-block: 4 grid entries of 8 values; then 32 bits: 7 signs for
//                   each 8 values (the eighth makes their number even), 4 bits of scale
#pragma once

#include "formats/iq2.h"

namespace gm {

struct IQ2_XXSBlock {
  static constexpr size_t kValues = 256;
  static constexpr const CodeBook& kBook = kIq2Book;
  uint16_t d;
  uint8_t qs[64];

  uint16_t d_bits() const noexcept { return d; }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    for (size_t j = 0; j < 8; ++j) {
      uint32_t signs;
      std::memcpy(&signs, qs + 8 * j + 4, 4);
      out.scales[2 * j] = out.scales[2 * j + 1] = static_cast<uint8_t>(signs >> 28);
      for (size_t k = 0; k < 4; ++k)
        out.put(32 * j + 8 * k,
                iq2_codes(kIq2XxsGrid[qs[8 * j + k]], even_signs(signs >> 7 * k & 127)));
    }
  }
};
static_assert(sizeof(IQ2_XXSBlock) == 66);

}  // namespace gm
