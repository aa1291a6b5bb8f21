// SPDX-License-Identifier: MIT
// What the levels on AVX-512 (F, BW, DQ, VL) share: a vector of 16 lanes is one zmm register. The
// level's own header adds its shape and its dot products; scalar.h documents the operations.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gm::GM_ISA {
namespace {

inline constexpr bool kSignedDots = false;
inline constexpr bool kFoldScales = true;

using F32x16 = __m512;
using I32x16 = __m512i;
using Bytes64 = __m512i;

inline F32x16 f_set1(float x) { return _mm512_set1_ps(x); }
inline F32x16 f_zero() { return _mm512_setzero_ps(); }
inline F32x16 f_load(const float* p) { return _mm512_loadu_ps(p); }
inline void f_store(float* p, F32x16 a) { _mm512_storeu_ps(p, a); }
inline __mmask16 first_lanes(size_t n) { return static_cast<__mmask16>((1u << n) - 1); }
inline F32x16 f_load_partial(const float* p, size_t n) {
  return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
inline void f_store_partial(float* p, size_t n, F32x16 a) {
  _mm512_mask_storeu_ps(p, first_lanes(n), a);
}
inline F32x16 f_load_f16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F32x16 f_load_bf16(const uint16_t* p) {
  const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
inline void f_store_f16(uint16_t* p, F32x16 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F32x16 f_add(F32x16 a, F32x16 b) { return _mm512_add_ps(a, b); }
inline F32x16 f_sub(F32x16 a, F32x16 b) { return _mm512_sub_ps(a, b); }
inline F32x16 f_mul(F32x16 a, F32x16 b) { return _mm512_mul_ps(a, b); }
inline F32x16 f_div(F32x16 a, F32x16 b) { return _mm512_div_ps(a, b); }
inline F32x16 f_fma(F32x16 a, F32x16 b, F32x16 c) { return _mm512_fmadd_ps(a, b, c); }
inline F32x16 f_fnma(F32x16 a, F32x16 b, F32x16 c) { return _mm512_fnmadd_ps(a, b, c); }
inline F32x16 f_max(F32x16 a, F32x16 b) { return _mm512_max_ps(a, b); }
inline F32x16 f_min(F32x16 a, F32x16 b) { return _mm512_min_ps(a, b); }
inline F32x16 f_abs(F32x16 a) { return _mm512_abs_ps(a); }
inline F32x16 f_zero_below(F32x16 x, F32x16 limit, F32x16 y) {
  return _mm512_maskz_mov_ps(static_cast<__mmask16>(~_mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ)), y);
}
inline F32x16 f_pick_below(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ), a);
}
inline F32x16 f_from_i32(I32x16 a) { return _mm512_cvtepi32_ps(a); }
inline I32x16 i_bits(F32x16 a) { return _mm512_castps_si512(a); }
inline F32x16 f_bits(I32x16 a) { return _mm512_castsi512_ps(a); }

inline I32x16 i_set1(int32_t x) { return _mm512_set1_epi32(x); }
inline I32x16 i_zero() { return _mm512_setzero_si512(); }
inline I32x16 i_load(const void* p) { return _mm512_loadu_si512(p); }
inline void i_store(void* p, I32x16 a) { _mm512_storeu_si512(p, a); }
inline I32x16 i_add(I32x16 a, I32x16 b) { return _mm512_add_epi32(a, b); }
inline I32x16 i_mul(I32x16 a, I32x16 b) { return _mm512_mullo_epi32(a, b); }
template <int n>
inline I32x16 i_shl(I32x16 a) {
  return _mm512_slli_epi32(a, n);
}
template <int n>
inline I32x16 i_shr(I32x16 a) {
  return _mm512_srai_epi32(a, n);
}
inline I32x16 i_load_u8(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline I32x16 i_load_s8(const uint8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline I32x16 i_load_s8_pairs(const uint8_t* p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void i_store_s8(int8_t* p, I32x16 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
}
inline I32x16 i_pair16(I32x16 a, I32x16 b) {
  return _mm512_mask_blend_epi16(0xaaaaaaaau, a, _mm512_slli_epi32(b, 16));
}
inline I32x16 i_low16(I32x16 a) { return _mm512_maskz_mov_epi16(0x55555555u, a); }
inline I32x16 i_high16(I32x16 a) { return _mm512_srli_epi32(a, 16); }

inline Bytes64 b_load(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void b_store(uint8_t* p, Bytes64 a) { _mm512_storeu_si512(p, a); }
inline Bytes64 b_set1(uint8_t x) { return _mm512_set1_epi8(static_cast<char>(x)); }
inline Bytes64 b_and(Bytes64 a, Bytes64 b) { return _mm512_and_si512(a, b); }
inline Bytes64 b_or_and(Bytes64 a, Bytes64 b, Bytes64 mask) {
  return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
}
inline Bytes64 b_xor(Bytes64 a, Bytes64 b) { return _mm512_xor_si512(a, b); }
inline Bytes64 b_sub(Bytes64 a, Bytes64 b) { return _mm512_sub_epi8(a, b); }
template <int n>
inline Bytes64 b_shr(Bytes64 a) {
  return _mm512_srli_epi16(a, n);
}
template <int n>
inline Bytes64 b_shl(Bytes64 a) {
  return _mm512_slli_epi16(a, n);
}
inline I32x16 i_odd_s8(Bytes64 x) { return _mm512_srai_epi16(x, 8); }
inline I32x16 i_even_s8(Bytes64 x) { return i_odd_s8(b_shl<8>(x)); }
inline Bytes64 b_lookup16(const uint8_t* table, Bytes64 codes) {
  const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), codes);
}

inline float f_reduce_add(F32x16 a) {
  const __m256 h8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  const __m128 h4 = _mm_add_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_add_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_add_ss(h2, _mm_movehdup_ps(h2)));
}
inline float f_reduce_max(F32x16 a) {
  const __m256 h8 = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  const __m128 h4 = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_max_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_max_ss(h2, _mm_movehdup_ps(h2)));
}

}  // namespace
}  // namespace gm::GM_ISA
