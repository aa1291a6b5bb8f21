// SPDX-License-Identifier: MIT
// Level avx2_vnni (Alder Lake and later laptops, Sierra Forest): vpdpbusd and vpdpwssd in their VEX
// form, on ymm registers.
#pragma once

#include "simd/ymm.h"

namespace gm::GM_ISA {
namespace {

inline constexpr size_t kMaxTile = 4;         // 8 of 16 registers accumulate
inline constexpr size_t kTokenMajorTile = 0;  // see amx_int8.h
inline constexpr size_t kDirectTokens = 2;    // up to here weights are expanded in registers
inline constexpr int kPanelPair = 1;          // panels that share a broadcast activation in prefill
inline constexpr size_t kAttentionRows = 2;
inline constexpr int kStepProducts = 4;

inline I32x16 dot_step(I32x16 acc, Bytes64 w, I32x16 a) {
  return {_mm256_dpbusd_avx_epi32(acc.lo, w.lo, a.lo), _mm256_dpbusd_avx_epi32(acc.hi, w.hi, a.hi)};
}
inline I32x16 dot_s16(I32x16 acc, I32x16 a, I32x16 b) {
  return {_mm256_dpwssd_avx_epi32(acc.lo, a.lo, b.lo), _mm256_dpwssd_avx_epi32(acc.hi, a.hi, b.hi)};
}
inline I32x16 fold_scale(I32x16 s) { return s; }
inline constexpr int kS8Bias = 128;  // one operand is unsigned
inline Bytes64 s8_operand(Bytes64 w) { return b_xor(w, b_set1(0x80)); }
inline I32x16 dot_s8(I32x16 acc, Bytes64 w, I32x16 a) { return dot_step(acc, w, a); }

}  // namespace
}  // namespace gm::GM_ISA
