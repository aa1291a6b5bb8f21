// SPDX-License-Identifier: MIT
// The dot products of the levels with AVX-512 VNNI: vpdpbusd and vpdpwssd on zmm registers.
#pragma once

#include "simd/zmm.h"

namespace gm::GM_ISA {
namespace {

inline constexpr int kStepProducts = 4;

// GCC 12 surrounds the destructive dot products of a tile with register copies (a third more
// instructions: 50 % of the INT8 peak in prefill instead of 60 %); "+v" pins the accumulators.
#if defined(__GNUC__) && defined(__AVX512VNNI__)
#define GM_DOT(name, instruction)                                    \
  inline I32x16 name(I32x16 acc, __m512i w, __m512i a) {             \
    __asm__(instruction " %2, %1, %0" : "+v"(acc) : "v"(w), "v"(a)); \
    return acc;                                                      \
  }
GM_DOT(dot_step, "vpdpbusd")
GM_DOT(dot_s16, "vpdpwssd")
#undef GM_DOT
#else
inline I32x16 dot_step(I32x16 acc, Bytes64 w, I32x16 a) { return _mm512_dpbusd_epi32(acc, w, a); }
inline I32x16 dot_s16(I32x16 acc, I32x16 a, I32x16 b) { return _mm512_dpwssd_epi32(acc, a, b); }
#endif
inline I32x16 fold_scale(I32x16 s) { return s; }
inline constexpr int kS8Bias = 128;  // one operand is unsigned
inline Bytes64 s8_operand(Bytes64 w) { return b_xor(w, b_set1(0x80)); }
inline I32x16 dot_s8(I32x16 acc, Bytes64 w, I32x16 a) { return dot_step(acc, w, a); }

}  // namespace
}  // namespace gm::GM_ISA
