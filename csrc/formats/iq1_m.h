// SPDX-License-Identifier: MIT
// IQ1_M: 256 values in 16 sub-blocks of 16; 8 ternary values come from a grid and are shifted by an
// eighth together: x = d * (2 scale + 1) * (t + 1/8), or - 1/8; code = t + 1 | sign << 2.
//   bytes 0-31   qs      the low 8 bits of a grid entry per 8 values
//   bytes 32-47  qh      nibble k: 3 high bits of entry k, then the sign of its shift
//   bytes 48-55  scales  four 16-bit words: 3 bits for each of 4 sub-blocks; their top 4 bits
//                        together are d, f16, lowest first
#pragma once

#include "formats/codes.h"
#include "formats/iq1_grid.h"

namespace gm {

struct IQ1_MBlock {
  static constexpr size_t kValues = 256;
  // Eight times the shifted values.
  static constexpr CodeBook kBook =
      odd_scales(0.125f, CodeBook{0.0f, {-7, 1, 9, 0, -9, -1, 7}, {}, {}});
  uint8_t qs[32], qh[16];
  uint16_t scales[4];

  uint16_t d_bits() const noexcept {
    return static_cast<uint16_t>(scales[0] >> 12 | (scales[1] >> 12) << 4 | (scales[2] >> 12) << 8 |
                                 (scales[3] >> 12) << 12);
  }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    for (size_t j = 0; j < 16; ++j)
      out.scales[j] = static_cast<uint8_t>((scales[j / 4] >> (j % 4 * 3)) & 7);
    for (size_t k = 0; k < 32; ++k) {
      const int bits = (qh[k / 2] >> (k % 2 * 4)) & 15;
      const uint64_t sign = bits < 8 ? 0 : 0x0404040404040404u;
      out.put(8 * k, bytes_of_pairs(kIq1Grid[qs[k] | (bits & 7) << 8]) | sign);
    }
  }
};
static_assert(sizeof(IQ1_MBlock) == 56);

}  // namespace gm
