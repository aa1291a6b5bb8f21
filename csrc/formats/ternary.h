// SPDX-License-Identifier: MIT
// What TQ1_0 and TQ2_0 share: x = d * (code - 1), written with the unit of IQ1_S, and how their
// codes are chosen.
#pragma once

#include "formats/codes.h"

namespace gm {

inline constexpr CodeBook kTernaryBook = {0.125f, {0, 1, 2, 3}, {8}, {8}};

// d is the largest magnitude, a code round half away from zero of x / d, plus 1.
inline BlockParts ternary_parts(const float* in) noexcept {
  BlockParts parts{.d = std::fabs(signed_absmax(in, 256))};
  const float inverse = safe_inverse(parts.d);
  for (size_t i = 0; i < 256; ++i) {
    const float t = std::round(in[i] * inverse);
    parts.codes[i] = t > 0.5f ? 2 : t < -0.5f ? 0 : 1;
  }
  return parts;
}

}  // namespace gm
