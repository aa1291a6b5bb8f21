// SPDX-License-Identifier: MIT
// What TQ1_0 and TQ2_0 share: x = d * (code - 1), written with the unit of IQ1_S, and how their
// codes are chosen.
#pragma once

#include "formats/codes.h"

namespace gm {

inline constexpr CodeBook kTernaryBook = {0.125f, {0, 1, 2, 3}, {8}, {8}};

// d, the largest magnitude, and x -> round half away from zero of x / d, plus 1.
struct TernaryFit {
  uint16_t d;  // f16
  float inverse;

  explicit TernaryFit(const float* in) noexcept {
    const float largest = std::fabs(signed_absmax(in, 256));
    d = f32_to_f16(largest);
    inverse = safe_inverse(largest);
  }
  int code(float x) const noexcept {
    const float t = std::round(x * inverse);
    return t > 0.5f ? 2 : t < -0.5f ? 0 : 1;
  }
};

}  // namespace gm
