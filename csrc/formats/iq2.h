// SPDX-License-Identifier: MIT
// What IQ2_XXS, IQ2_XS and IQ2_S share: 8 magnitudes out of 8, 25 and 43 come from a grid, with 8
// signs; code = magnitude | sign << 2, and x = d / 8 * (2 scale + 1) * value.
#pragma once

#include "formats/codes.h"
#include "formats/iq2_grids.h"

namespace gm {

inline constexpr CodeBook kIq2Book = signed_values<4>(0.125f, {8, 25, 43, 0});

constexpr uint64_t iq2_codes(uint16_t entry, uint64_t signs) noexcept {
  return bytes_of_pairs(entry) | bytes_of_bits(signs) << 2;
}

}  // namespace gm
