// SPDX-License-Identifier: MIT
// Level avx2 (Haswell, Zen and later): no dot product instruction. maddubs adds two u8 x s8
// products in int16 lanes, which is where a dot product grows until madd folds it into int32.
#pragma once

#include "simd/ymm.h"

namespace gm::GM_ISA {
namespace {

inline constexpr size_t kMaxTile = 4;         // 8 of 16 registers accumulate
inline constexpr size_t kTokenMajorTile = 0;  // see amx_int8.h
inline constexpr size_t kDirectTokens = 2;    // up to here weights are expanded in registers
inline constexpr int kPanelPair = 1;          // panels that share a broadcast activation in prefill
inline constexpr size_t kAttentionRows = 2;
inline constexpr int kStepProducts = 2;

inline I32x16 dot_step(I32x16 acc, Bytes64 w, I32x16 a) {
  return {_mm256_add_epi16(acc.lo, _mm256_maddubs_epi16(w.lo, a.lo)),
          _mm256_add_epi16(acc.hi, _mm256_maddubs_epi16(w.hi, a.hi))};
}
inline I32x16 dot_s16(I32x16 acc, I32x16 a, I32x16 b) {
  return {_mm256_add_epi32(acc.lo, _mm256_madd_epi16(a.lo, b.lo)),
          _mm256_add_epi32(acc.hi, _mm256_madd_epi16(a.hi, b.hi))};
}
inline I32x16 fold_scale(I32x16 s) { return i_pair16(s, s); }
inline constexpr int kS8Bias = 0;
inline Bytes64 s8_operand(Bytes64 w) { return w; }
// |w| x (a with the sign of w): 2 * 128 * 127 = 32,512 does not saturate.
inline __m256i dot_half_s8(__m256i acc, __m256i w, __m256i a) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
  return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline I32x16 dot_s8(I32x16 acc, Bytes64 w, I32x16 a) {
  return {dot_half_s8(acc.lo, w.lo, a.lo), dot_half_s8(acc.hi, w.hi, a.hi)};
}

}  // namespace
}  // namespace gm::GM_ISA
