// SPDX-License-Identifier: MIT
// Level neon (armv8.0: Cortex-A53, A72): no dot product instruction. Products of bytes are summed
// in pairs in int16, 2 * 127 * 128 = 32,512 at most, and in pairs of pairs into int32.
#pragma once

#include "simd/neon_ops.h"

namespace gm::GM_ISA {
namespace {

inline constexpr bool kSignedDots = true;

inline int32x4_t dot_quad(int32x4_t acc, int8x16_t w, int8x16_t a) {
  const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(a));
  return vpadalq_s16(acc, vpaddq_s16(low, vmull_high_s8(w, a)));
}
inline I32x16 dot_s8(I32x16 acc, Bytes64 w, I32x16 a) {
  return each<I32x16>(
      [](auto sum, auto x, auto y) {
        return dot_quad(sum, vreinterpretq_s8_u8(x), vreinterpretq_s8_s32(y));
      },
      acc, w, a);
}
inline I32x16 dot_step(I32x16 acc, Bytes64 w, I32x16 a) { return dot_s8(acc, w, a); }

}  // namespace
}  // namespace gm::GM_ISA
