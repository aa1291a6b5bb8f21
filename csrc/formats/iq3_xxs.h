// SPDX-License-Identifier: MIT
// IQ3_XXS: 256 values in 8 sub-blocks of 32; 4 magnitudes out of 4, 12, 20, 28, 36, 44, 52 and 62
// come from a grid, with signs: code = magnitude | sign << 3, x = d / 4 * (2 scale + 1) * value.
//   bytes 0-1    d      f16
//   bytes 2-65   qs     a grid entry per 4 values
//   bytes 66-97  signs  32 bits per sub-block: 7 signs for each 8 values (the eighth makes their
//                       number even), 4 bits of scale
#pragma once

#include "formats/codes.h"
#include "formats/iq3_grids.h"

namespace gm {

struct IQ3_XXSBlock {
  static constexpr size_t kValues = 256;
  // Half of each magnitude.
  static constexpr CodeBook kBook = signed_values<8>(0.5f, {2, 6, 10, 14, 18, 22, 26, 31});
  uint16_t d;
  uint8_t qs[64];
  uint8_t signs[32];

  uint16_t d_bits() const noexcept { return d; }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    for (size_t j = 0; j < 8; ++j) {
      uint32_t bits;
      std::memcpy(&bits, signs + 4 * j, 4);
      out.scales[2 * j] = out.scales[2 * j + 1] = static_cast<uint8_t>(bits >> 28);
      for (size_t k = 0; k < 4; ++k) {
        const uint8_t* q = qs + 8 * j + 2 * k;
        const uint64_t low = bytes_of_triples(kIq3XxsGrid[q[0]]);
        const uint64_t high = bytes_of_triples(kIq3XxsGrid[q[1]]);
        const uint64_t negative = bytes_of_bits(even_signs(bits >> 7 * k & 127));
        out.put(32 * j + 8 * k, low | high << 32 | negative << 3);
      }
    }
  }
};
static_assert(sizeof(IQ3_XXSBlock) == 98);

}  // namespace gm
