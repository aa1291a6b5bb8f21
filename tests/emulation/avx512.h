// SPDX-License-Identifier: MIT
// AVX-512 F, BW, DQ and VNNI, and AVX-VNNI, as the Intel Intrinsics Guide defines them. Lanes are
// computed one by one in unsigned or wider integers: overflow wraps as it does in the instruction.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

// As template arguments the vectors lose attributes that do not matter there.
#pragma GCC diagnostic ignored "-Wignored-attributes"

typedef float __m512 __attribute__((vector_size(64), may_alias));
typedef long long __m512i __attribute__((vector_size(64), may_alias));
using __mmask16 = uint16_t;
using __mmask32 = uint32_t;
using __mmask64 = uint64_t;

namespace emulated {

template <class T, class V>
struct Lanes {
  static constexpr int kCount = sizeof(V) / sizeof(T);
  T at[kCount];
  explicit Lanes(V v) { std::memcpy(at, &v, sizeof(V)); }
  Lanes() : at{} {}
  V vector() const {
    V v;
    std::memcpy(&v, at, sizeof(V));
    return v;
  }
};

// f(lanes of type T...) for each lane.
template <class T, class V, class F, class... Vs>
inline V map(F f, V first, Vs... rest) {
  Lanes<T, V> out;
  const auto apply = [&](const auto&... lanes) {
    for (int i = 0; i < out.kCount; ++i) out.at[i] = static_cast<T>(f(lanes.at[i]...));
  };
  apply(Lanes<T, V>(first), Lanes<T, Vs>(rest)...);
  return out.vector();
}

// Each of the first n lanes widened from type From to type To.
template <class To, class From, class V, class Out = __m512i>
inline Out widen(V v) {
  const Lanes<From, V> in(v);
  Lanes<To, Out> out;
  for (int i = 0; i < out.kCount; ++i) out.at[i] = static_cast<To>(in.at[i]);
  return out.vector();
}

// acc plus the sums of `group` neighbouring products of A (of a) and B (of b).
template <class A, class B, int group, class V>
inline V dot(V acc, V a, V b) {
  const Lanes<A, V> x(a);
  const Lanes<B, V> y(b);
  Lanes<uint32_t, V> sum(acc);
  for (int i = 0; i < sum.kCount; ++i)
    for (int k = 0; k < group; ++k)
      sum.at[i] += static_cast<uint32_t>(int32_t{x.at[group * i + k]} * y.at[group * i + k]);
  return sum.vector();
}

inline bool in(uint64_t mask, int lane) { return ((mask >> lane) & 1) != 0; }

// b where the mask has a one, a elsewhere.
template <class T, class V>
inline V blend(uint64_t mask, V a, V b) {
  Lanes<T, V> out(a);
  const Lanes<T, V> other(b);
  for (int i = 0; i < out.kCount; ++i)
    if (in(mask, i)) out.at[i] = other.at[i];
  return out.vector();
}

template <class V, class P>
inline V load(const P* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}

template <class T>
inline T shifted_left(T x, unsigned n) {
  return n < 8 * sizeof(T) ? static_cast<T>(x << n) : T{0};
}

}  // namespace emulated

#define GM_EMULATED_BINARY(name, V, T, expression)                                        \
  inline V name(V a_, V b_) {                                                             \
    return emulated::map<T>([](T a, T b) { return static_cast<T>(expression); }, a_, b_); \
  }
GM_EMULATED_BINARY(_mm512_add_ps, __m512, float, a + b)
GM_EMULATED_BINARY(_mm512_sub_ps, __m512, float, a - b)
GM_EMULATED_BINARY(_mm512_mul_ps, __m512, float, a* b)
GM_EMULATED_BINARY(_mm512_div_ps, __m512, float, a / b)
GM_EMULATED_BINARY(_mm512_max_ps, __m512, float, a > b ? a : b)  // b if one is a NaN
GM_EMULATED_BINARY(_mm512_min_ps, __m512, float, a < b ? a : b)
GM_EMULATED_BINARY(_mm512_add_epi16, __m512i, uint16_t, a + b)
GM_EMULATED_BINARY(_mm512_add_epi32, __m512i, uint32_t, a + b)
GM_EMULATED_BINARY(_mm512_sub_epi8, __m512i, uint8_t, a - b)
GM_EMULATED_BINARY(_mm512_sub_epi16, __m512i, uint16_t, a - b)
GM_EMULATED_BINARY(_mm512_mullo_epi16, __m512i, uint16_t, uint32_t{a} * b)
GM_EMULATED_BINARY(_mm512_mullo_epi32, __m512i, uint32_t, a* b)
GM_EMULATED_BINARY(_mm512_and_si512, __m512i, uint64_t, a& b)
GM_EMULATED_BINARY(_mm512_xor_si512, __m512i, uint64_t, a ^ b)
#undef GM_EMULATED_BINARY

#define GM_EMULATED_SHIFT(name, T, expression)                                    \
  inline __m512i name(__m512i a_, unsigned n) {                                   \
    return emulated::map<T>([n](T a) { return static_cast<T>(expression); }, a_); \
  }
GM_EMULATED_SHIFT(_mm512_slli_epi16, uint16_t, emulated::shifted_left(a, n))
GM_EMULATED_SHIFT(_mm512_slli_epi32, uint32_t, emulated::shifted_left(a, n))
GM_EMULATED_SHIFT(_mm512_srli_epi16, uint16_t, n < 16 ? a >> n : 0)
GM_EMULATED_SHIFT(_mm512_srli_epi32, uint32_t, n < 32 ? a >> n : 0)
GM_EMULATED_SHIFT(_mm512_srai_epi16, int16_t, a >> std::min(n, 15u))
GM_EMULATED_SHIFT(_mm512_srai_epi32, int32_t, a >> std::min(n, 31u))
#undef GM_EMULATED_SHIFT

inline __m512i _mm512_set1_epi8(char x) {
  return emulated::map<char>([x](char) { return x; }, __m512i{});
}
inline __m512i _mm512_set1_epi16(int16_t x) {
  return emulated::map<int16_t>([x](int16_t) { return x; }, __m512i{});
}
inline __m512i _mm512_set1_epi32(int32_t x) {
  return emulated::map<int32_t>([x](int32_t) { return x; }, __m512i{});
}
inline __m512 _mm512_set1_ps(float x) {
  return emulated::map<float>([x](float) { return x; }, __m512{});
}
inline __m512i _mm512_setzero_si512() { return __m512i{}; }
inline __m512 _mm512_setzero_ps() { return __m512{}; }

inline __m512 _mm512_loadu_ps(const void* p) { return emulated::load<__m512>(p); }
inline __m512i _mm512_loadu_si512(const void* p) { return emulated::load<__m512i>(p); }
inline void _mm512_storeu_ps(void* p, __m512 a) { std::memcpy(p, &a, sizeof(a)); }
inline void _mm512_storeu_si512(void* p, __m512i a) { std::memcpy(p, &a, sizeof(a)); }
inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const float* p) {
  emulated::Lanes<float, __m512> out;
  for (int i = 0; i < 16; ++i)
    if (emulated::in(mask, i)) out.at[i] = p[i];
  return out.vector();
}
inline void _mm512_mask_storeu_ps(float* p, __mmask16 mask, __m512 a) {
  const emulated::Lanes<float, __m512> lanes(a);
  for (int i = 0; i < 16; ++i)
    if (emulated::in(mask, i)) p[i] = lanes.at[i];
}

inline __m512i _mm512_castps_si512(__m512 a) { return emulated::load<__m512i>(&a); }
inline __m512 _mm512_castsi512_ps(__m512i a) { return emulated::load<__m512>(&a); }
inline __m256 _mm512_castps512_ps256(__m512 a) { return emulated::load<__m256>(&a); }
inline __m256 _mm512_extractf32x8_ps(__m512 a, int half) {
  return emulated::load<__m256>(reinterpret_cast<const char*>(&a) + 32 * half);
}
inline __m512i _mm512_broadcast_i32x4(__m128i a) {
  __m512i out;
  for (int i = 0; i < 4; ++i) std::memcpy(reinterpret_cast<char*>(&out) + 16 * i, &a, 16);
  return out;
}

inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return emulated::map<float>([](float x, float y, float z) { return std::fma(x, y, z); }, a, b, c);
}
inline __m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c) {
  return emulated::map<float>([](float x, float y, float z) { return std::fma(-x, y, z); }, a, b,
                              c);
}
inline __m512 _mm512_abs_ps(__m512 a) {
  return emulated::map<float>([](float x) { return std::fabs(x); }, a);
}
inline __m512i _mm512_abs_epi8(__m512i a) {
  return emulated::map<int8_t>([](int8_t x) { return x < 0 ? -x : x; }, a);
}

inline __m512i _mm512_madd_epi16(__m512i a, __m512i b) {
  return emulated::dot<int16_t, int16_t, 2>(__m512i{}, a, b);
}
inline __m512i _mm512_dpwssd_epi32(__m512i acc, __m512i a, __m512i b) {
  return emulated::dot<int16_t, int16_t, 2>(acc, a, b);
}
inline __m512i _mm512_dpbusd_epi32(__m512i acc, __m512i a, __m512i b) {
  return emulated::dot<uint8_t, int8_t, 4>(acc, a, b);
}
inline __m256i _mm256_dpwssd_avx_epi32(__m256i acc, __m256i a, __m256i b) {
  return emulated::dot<int16_t, int16_t, 2>(acc, a, b);
}
inline __m256i _mm256_dpbusd_avx_epi32(__m256i acc, __m256i a, __m256i b) {
  return emulated::dot<uint8_t, int8_t, 4>(acc, a, b);
}
inline __m512i _mm512_maddubs_epi16(__m512i a, __m512i b) {
  const emulated::Lanes<uint8_t, __m512i> x(a);
  const emulated::Lanes<int8_t, __m512i> y(b);
  emulated::Lanes<int16_t, __m512i> out;
  for (int i = 0; i < 32; ++i) {
    const int sum = x.at[2 * i] * y.at[2 * i] + x.at[2 * i + 1] * y.at[2 * i + 1];
    out.at[i] = static_cast<int16_t>(std::clamp(sum, -32768, 32767));
  }
  return out.vector();
}

inline __m512i _mm512_shuffle_epi8(__m512i table, __m512i index) {
  const emulated::Lanes<uint8_t, __m512i> t(table), k(index);
  emulated::Lanes<uint8_t, __m512i> out;
  for (int i = 0; i < 64; ++i)
    out.at[i] = (k.at[i] & 0x80) != 0 ? uint8_t{0} : t.at[(i & ~15) | (k.at[i] & 15)];
  return out.vector();
}
// Bit 4 a + 2 b + c of `truth` for each bit of the operands.
inline __m512i _mm512_ternarylogic_epi32(__m512i a, __m512i b, __m512i c, int truth) {
  const auto one = [truth](uint32_t x, uint32_t y, uint32_t z) {
    uint32_t out = 0;
    for (int row = 0; row < 8; ++row) {
      const bool set = ((truth >> row) & 1) != 0;
      if (set) out |= ((row & 4) ? x : ~x) & ((row & 2) ? y : ~y) & ((row & 1) ? z : ~z);
    }
    return out;
  };
  return emulated::map<uint32_t>(one, a, b, c);
}

inline __m512i _mm512_cvtepi8_epi16(__m256i a) { return emulated::widen<int16_t, int8_t>(a); }
inline __m512i _mm512_cvtepi8_epi32(__m128i a) { return emulated::widen<int32_t, int8_t>(a); }
inline __m512i _mm512_cvtepu8_epi32(__m128i a) { return emulated::widen<int32_t, uint8_t>(a); }
inline __m512i _mm512_cvtepu16_epi32(__m256i a) { return emulated::widen<int32_t, uint16_t>(a); }
inline __m128i _mm512_cvtepi32_epi8(__m512i a) {
  const emulated::Lanes<uint32_t, __m512i> in(a);
  emulated::Lanes<uint8_t, __m128i> out;
  for (int i = 0; i < 16; ++i) out.at[i] = static_cast<uint8_t>(in.at[i]);
  return out.vector();
}
inline __m512 _mm512_cvtepi32_ps(__m512i a) {
  const emulated::Lanes<int32_t, __m512i> in(a);
  emulated::Lanes<float, __m512> out;
  for (int i = 0; i < 16; ++i) out.at[i] = static_cast<float>(in.at[i]);
  return out.vector();
}
inline __m512 _mm512_cvtph_ps(__m256i a) {
  __m512 out;
  const __m256 halves[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(a)),
                            _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))};
  std::memcpy(&out, halves, sizeof(out));
  return out;
}
inline __m256i _mm512_cvtps_ph(__m512 a, int) {  // rounding to nearest even only
  return _mm256_set_m128i(_mm256_cvtps_ph(_mm512_extractf32x8_ps(a, 1), _MM_FROUND_TO_NEAREST_INT),
                          _mm256_cvtps_ph(_mm512_castps512_ps256(a), _MM_FROUND_TO_NEAREST_INT));
}

inline __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int) {  // _CMP_LT_OQ only
  const emulated::Lanes<float, __m512> x(a), y(b);
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= static_cast<unsigned>(x.at[i] < y.at[i]) << i;
  return static_cast<__mmask16>(mask);
}
inline __mmask64 _mm512_movepi8_mask(__m512i a) {
  const emulated::Lanes<uint8_t, __m512i> x(a);
  uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) mask |= static_cast<uint64_t>(x.at[i] >> 7) << i;
  return mask;
}
inline __m512 _mm512_maskz_mov_ps(__mmask16 mask, __m512 a) {
  return emulated::blend<float>(mask, __m512{}, a);
}
inline __m512 _mm512_mask_mov_ps(__m512 a, __mmask16 mask, __m512 b) {
  return emulated::blend<float>(mask, a, b);
}
inline __m512i _mm512_maskz_mov_epi16(__mmask32 mask, __m512i a) {
  return emulated::blend<uint16_t>(mask, __m512i{}, a);
}
inline __m512i _mm512_mask_blend_epi16(__mmask32 mask, __m512i a, __m512i b) {
  return emulated::blend<uint16_t>(mask, a, b);
}
inline __m512i _mm512_mask_sub_epi8(__m512i source, __mmask64 mask, __m512i a, __m512i b) {
  return emulated::blend<uint8_t>(mask, source, _mm512_sub_epi8(a, b));
}
