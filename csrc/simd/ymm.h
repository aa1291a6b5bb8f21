// SPDX-License-Identifier: MIT
// What the levels on AVX2 + FMA + F16C share: a vector of 16 lanes is two ymm registers. The
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

struct F32x16 {
  __m256 lo, hi;
};
struct I32x16 {
  __m256i lo, hi;
};
using Bytes64 = I32x16;

inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store256(void* p, __m256i a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }

inline F32x16 f_set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32x16 f_zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F32x16 f_load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void f_store(float* p, F32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline F32x16 f_load_partial(const float* p, size_t n) {
  float full[16] = {};
  std::memcpy(full, p, n * sizeof(float));
  return f_load(full);
}
inline void f_store_partial(float* p, size_t n, F32x16 a) {
  float full[16];
  f_store(full, a);
  std::memcpy(p, full, n * sizeof(float));
}
inline F32x16 f_load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(load128(p)), _mm256_cvtph_ps(load128(p + 8))};
}
inline __m256 bf16_half(const uint16_t* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(p)), 16));
}
inline F32x16 f_load_bf16(const uint16_t* p) { return {bf16_half(p), bf16_half(p + 8)}; }
inline void f_store_f16(uint16_t* p, F32x16 a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, kNearest));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, kNearest));
}
inline F32x16 f_add(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline F32x16 f_sub(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline F32x16 f_mul(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline F32x16 f_div(F32x16 a, F32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline F32x16 f_fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F32x16 f_fnma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
inline F32x16 f_max(F32x16 a, F32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
inline F32x16 f_min(F32x16 a, F32x16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
inline F32x16 f_abs(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline F32x16 f_zero_below(F32x16 x, F32x16 limit, F32x16 y) {
  return {_mm256_andnot_ps(_mm256_cmp_ps(x.lo, limit.lo, _CMP_LT_OQ), y.lo),
          _mm256_andnot_ps(_mm256_cmp_ps(x.hi, limit.hi, _CMP_LT_OQ), y.hi)};
}
inline F32x16 f_pick_below(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_cmp_ps(x.lo, limit.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_cmp_ps(x.hi, limit.hi, _CMP_LT_OQ))};
}
inline F32x16 f_from_i32(I32x16 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline I32x16 i_bits(F32x16 a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
inline F32x16 f_bits(I32x16 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }

inline I32x16 i_set1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I32x16 i_zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline I32x16 i_load(const void* p) {
  return {load256(p), load256(static_cast<const uint8_t*>(p) + 32)};
}
inline void i_store(void* p, I32x16 a) {
  store256(p, a.lo);
  store256(static_cast<uint8_t*>(p) + 32, a.hi);
}
inline I32x16 i_add(I32x16 a, I32x16 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
inline I32x16 i_mul(I32x16 a, I32x16 b) {
  return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)};
}
template <int n>
inline I32x16 i_shl(I32x16 a) {
  return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)};
}
template <int n>
inline I32x16 i_shr(I32x16 a) {
  return {_mm256_srai_epi32(a.lo, n), _mm256_srai_epi32(a.hi, n)};
}
inline I32x16 i_load_u8(const uint8_t* p) {
  const __m128i b = load128(p);
  return {_mm256_cvtepu8_epi32(b), _mm256_cvtepu8_epi32(_mm_srli_si128(b, 8))};
}
inline I32x16 i_load_s8(const uint8_t* p) {
  const __m128i b = load128(p);
  return {_mm256_cvtepi8_epi32(b), _mm256_cvtepi8_epi32(_mm_srli_si128(b, 8))};
}
inline I32x16 i_load_s8_pairs(const uint8_t* p) {
  return {_mm256_cvtepi8_epi16(load128(p)), _mm256_cvtepi8_epi16(load128(p + 16))};
}
inline __m128i low_bytes(__m256i a) {  // of 8 dwords, in the low 4 bytes of each 8
  const __m256i pick =
      _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1,
                       -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i bytes = _mm256_shuffle_epi8(a, pick);
  return _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
}
inline void i_store_s8(int8_t* p, I32x16 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_unpacklo_epi64(low_bytes(a.lo), low_bytes(a.hi)));
}
inline I32x16 i_pair16(I32x16 a, I32x16 b) {
  const I32x16 high = i_shl<16>(b);
  return {_mm256_blend_epi16(a.lo, high.lo, 0xaa), _mm256_blend_epi16(a.hi, high.hi, 0xaa)};
}
inline I32x16 i_low16(I32x16 a) {
  const __m256i zero = _mm256_setzero_si256();
  return {_mm256_blend_epi16(a.lo, zero, 0xaa), _mm256_blend_epi16(a.hi, zero, 0xaa)};
}
inline I32x16 i_high16(I32x16 a) {
  return {_mm256_srli_epi32(a.lo, 16), _mm256_srli_epi32(a.hi, 16)};
}

inline Bytes64 b_load(const uint8_t* p) { return i_load(p); }
inline void b_store(uint8_t* p, Bytes64 a) { i_store(p, a); }
inline Bytes64 b_set1(uint8_t x) {
  return {_mm256_set1_epi8(static_cast<char>(x)), _mm256_set1_epi8(static_cast<char>(x))};
}
inline Bytes64 b_and(Bytes64 a, Bytes64 b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
inline Bytes64 b_or_and(Bytes64 a, Bytes64 b, Bytes64 mask) {
  return {_mm256_or_si256(a.lo, _mm256_and_si256(b.lo, mask.lo)),
          _mm256_or_si256(a.hi, _mm256_and_si256(b.hi, mask.hi))};
}
inline Bytes64 b_xor(Bytes64 a, Bytes64 b) {
  return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)};
}
inline Bytes64 b_sub(Bytes64 a, Bytes64 b) {
  return {_mm256_sub_epi8(a.lo, b.lo), _mm256_sub_epi8(a.hi, b.hi)};
}
template <int n>
inline Bytes64 b_shr(Bytes64 a) {
  return {_mm256_srli_epi16(a.lo, n), _mm256_srli_epi16(a.hi, n)};
}
template <int n>
inline Bytes64 b_shl(Bytes64 a) {
  return {_mm256_slli_epi16(a.lo, n), _mm256_slli_epi16(a.hi, n)};
}
inline I32x16 i_odd_s8(Bytes64 x) {
  return {_mm256_srai_epi16(x.lo, 8), _mm256_srai_epi16(x.hi, 8)};
}
inline I32x16 i_even_s8(Bytes64 x) { return i_odd_s8(b_shl<8>(x)); }
inline Bytes64 b_lookup16(const uint8_t* table, Bytes64 codes) {
  const __m256i t = _mm256_broadcastsi128_si256(load128(table));
  return {_mm256_shuffle_epi8(t, codes.lo), _mm256_shuffle_epi8(t, codes.hi)};
}

inline float f_reduce_add(F32x16 a) {
  const __m256 h8 = _mm256_add_ps(a.lo, a.hi);
  const __m128 h4 = _mm_add_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_add_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_add_ss(h2, _mm_movehdup_ps(h2)));
}
inline float f_reduce_max(F32x16 a) {
  const __m256 h8 = _mm256_max_ps(a.lo, a.hi);
  const __m128 h4 = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_max_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_max_ss(h2, _mm_movehdup_ps(h2)));
}

}  // namespace
}  // namespace gm::GM_ISA
