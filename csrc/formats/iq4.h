// SPDX-License-Identifier: MIT
// What IQ4_NL and IQ4_XS share: choosing codes of kIq4Values and the scale of a sub-block.
#pragma once

#include "formats/block.h"
#include "formats/code_tables.h"

namespace gm {

// The code whose value is nearest to x; NaN gives 0.
inline int iq4_code(float x) noexcept {
  int q = 0;
  while (q < 15 && 2.0f * x > static_cast<float>(kIq4Values[q] + kIq4Values[q + 1])) ++q;
  return q;
}

// The scale of 32 values with the least error weighted by x^2. Candidates put the value of largest
// magnitude at -127 - 7 .. -127 + 7 or at +127; each is then fitted to its codes, as ggml does.
inline float iq4_scale(const float* x) noexcept {
  const float largest = signed_absmax(x, 32);
  float best = -1.0f, scale = 0.0f;
  for (int candidate = 0; candidate < 16; ++candidate) {
    const int target = candidate < 15 ? candidate - 134 : 127;
    const float inverse = static_cast<float>(target) * safe_inverse(largest);
    float sum_qx = 0.0f, sum_q2 = 0.0f;
    for (size_t i = 0; i < 32; ++i) {
      const float q = static_cast<float>(kIq4Values[iq4_code(x[i] * inverse)]);
      sum_qx += x[i] * x[i] * q * x[i];
      sum_q2 += x[i] * x[i] * q * q;
    }
    if (sum_q2 > 0.0f && sum_qx * sum_qx > best * sum_q2) {
      scale = sum_qx / sum_q2;
      best = scale * sum_qx;
    }
  }
  return scale;
}

}  // namespace gm
