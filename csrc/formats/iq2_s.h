// SPDX-License-Identifier: MIT
// IQ2_S: 256 values in 16 sub-blocks of 16, see iq2.h.
//   bytes 0-1    d       f16
//   bytes 2-33   qs      the low 8 bits of a grid entry per 8 values
//   bytes 34-65  signs   of 8 values each
//   bytes 66-73  qh      bits 2 k and 2 k + 1 of byte j: the high bits of entry 4 j + k
//   bytes 74-81  scales  byte j / 2: scale j, high nibble for odd j
#pragma once

#include "formats/iq2.h"

namespace gm {

struct IQ2_SBlock {
  static constexpr size_t kValues = 256;
  static constexpr const CodeBook& kBook = kIq2Book;
  uint16_t d;
  uint8_t qs[32], signs[32], qh[8], scales[8];

  uint16_t d_bits() const noexcept { return d; }
  void decode(float* out) const noexcept { decode_codes(*this, out); }
  void codes(Codes256& out) const noexcept {
    for (size_t j = 0; j < 16; ++j)
      out.scales[j] = static_cast<uint8_t>((scales[j / 2] >> (j % 2 * 4)) & 15);
    for (size_t k = 0; k < 32; ++k) {
      const int high = (qh[k / 4] >> (k % 4 * 2)) & 3;
      out.put(8 * k, iq2_codes(kIq2SGrid[qs[k] | high << 8], signs[k]));
    }
  }
};
static_assert(sizeof(IQ2_SBlock) == 82);

}  // namespace gm
