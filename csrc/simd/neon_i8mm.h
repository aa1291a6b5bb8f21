// SPDX-License-Identifier: MIT
// Level neon_i8mm (Apple M2, Neoverse V1, Cortex-A510 and later): usdot, which multiplies unsigned
// weights with signed activations, so that no format needs a bias. Many tokens are multiplied by
// smmla, 2 x 8 by 8 x 2 bytes: kernels/linear_pairs.inl.h.
#pragma once

#include "simd/neon_ops.h"

namespace gm::GM_ISA {
namespace {

inline constexpr bool kSignedDots = false;

inline I32x16 dot_step(I32x16 acc, Bytes64 w, I32x16 a) {
  return each<I32x16>(
      [](auto sum, auto x, auto y) { return vusdotq_s32(sum, x, vreinterpretq_s8_s32(y)); }, acc, w,
      a);
}
inline I32x16 dot_s8(I32x16 acc, Bytes64 w, I32x16 a) {
  return each<I32x16>(
      [](auto sum, auto x, auto y) {
        return vdotq_s32(sum, vreinterpretq_s8_u8(x), vreinterpretq_s8_s32(y));
      },
      acc, w, a);
}

}  // namespace
}  // namespace gm::GM_ISA
