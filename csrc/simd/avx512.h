// SPDX-License-Identifier: MIT
// Level avx512 (Skylake-X: F, BW, DQ, VL): no dot product instruction; see avx2.h.
#pragma once

#include "simd/zmm.h"

namespace gm::GM_ISA {
namespace {

inline constexpr size_t kMaxTile = 12;
inline constexpr size_t kTokenMajorTile = 0;  // see amx_int8.h
inline constexpr size_t kDirectTokens = 4;    // up to here weights are expanded in registers
inline constexpr int kPanelPair = 2;          // panels that share a broadcast activation in prefill
inline constexpr size_t kAttentionRows = 12;  // 12 x 2 accumulators of 32 registers
inline constexpr int kStepProducts = 2;

inline I32x16 dot_step(I32x16 acc, Bytes64 w, I32x16 a) {
  return _mm512_add_epi16(acc, _mm512_maddubs_epi16(w, a));
}
inline I32x16 dot_s16(I32x16 acc, I32x16 a, I32x16 b) {
  return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
}
inline I32x16 fold_scale(I32x16 s) { return i_pair16(s, s); }
inline constexpr int kS8Bias = 0;
inline Bytes64 s8_operand(Bytes64 w) { return w; }
// |w| x (a with the sign of w): 2 * 128 * 127 = 32,512 does not saturate.
inline I32x16 dot_s8(I32x16 acc, Bytes64 w, I32x16 a) {
  const __m512i with_sign = _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(w), i_zero(), a);
  const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(w), with_sign);
  return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

}  // namespace
}  // namespace gm::GM_ISA
