// SPDX-License-Identifier: MIT
// IQ3_S: 256 values in 8 sub-blocks of 32; 4 magnitudes out of 1, 3, .. 15 come from a grid, with
// signs: code = magnitude | sign << 3, x = d * (2 scale + 1) * value.
//   bytes 0-1      d       f16
//   bytes 2-65     qs      the low 8 bits of a grid entry per 4 values
//   bytes 66-73    qh      bit k of byte j: the high bit of entry 8 j + k
//   bytes 74-105   signs   of 8 values each
//   bytes 106-109  scales  byte j / 2: scale j, high nibble for odd j
#pragma once

#include "formats/codes.h"
#include "formats/iq3_grids.h"

namespace gm {

struct IQ3_SBlock {
  static constexpr size_t kValues = 256;
  // Twice each magnitude, so that the unit is that of IQ3_XXS.
  static constexpr CodeBook kBook = signed_values<8>(0.5f, {2, 6, 10, 14, 18, 22, 26, 30});
  uint16_t d;
  uint8_t qs[64], qh[8], signs[32], scales[4];

  uint16_t d_bits() const noexcept { return d; }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    for (size_t j = 0; j < 8; ++j)
      out.scales[2 * j] = out.scales[2 * j + 1] =
          static_cast<uint8_t>((scales[j / 2] >> (j % 2 * 4)) & 15);
    for (size_t k = 0; k < 32; ++k) {
      const int bits = qh[k / 4] >> (k % 4 * 2);
      const uint64_t low = bytes_of_triples(kIq3SGrid[qs[2 * k] | (bits & 1) << 8]);
      const uint64_t high = bytes_of_triples(kIq3SGrid[qs[2 * k + 1] | (bits & 2) << 7]);
      out.put(8 * k, low | high << 32 | bytes_of_bits(signs[k]) << 3);
    }
  }
};
static_assert(sizeof(IQ3_SBlock) == 110);

}  // namespace gm
