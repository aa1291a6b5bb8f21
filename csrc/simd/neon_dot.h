// SPDX-License-Identifier: MIT
// Level neon_dot (Cortex-A55, A76 and later, Apple M1): sdot, which multiplies signed bytes.
#pragma once

#include "simd/neon_ops.h"

namespace gm::GM_ISA {
namespace {

inline constexpr bool kSignedDots = true;

inline I32x16 dot_s8(I32x16 acc, Bytes64 w, I32x16 a) {
  return each<I32x16>(
      [](auto sum, auto x, auto y) {
        return vdotq_s32(sum, vreinterpretq_s8_u8(x), vreinterpretq_s8_s32(y));
      },
      acc, w, a);
}
inline I32x16 dot_step(I32x16 acc, Bytes64 w, I32x16 a) { return dot_s8(acc, w, a); }

}  // namespace
}  // namespace gm::GM_ISA
