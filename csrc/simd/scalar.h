// SPDX-License-Identifier: MIT
// The SIMD vocabulary without SIMD: 16 lanes as plain arrays. It defines what every other ISA must
// compute, bit for bit; the compiler may vectorise it, the numbers cannot change.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"

#define GM_SCALAR

namespace gm::GM_ISA {
namespace {

inline constexpr size_t kMaxTile = 4;
inline constexpr size_t kTokenMajorTile = 0;  // see amx_int8.h
inline constexpr size_t kDirectTokens = 0;    // up to here weights are expanded in registers
inline constexpr int kPanelPair = 1;          // panels that share a broadcast activation in prefill
inline constexpr size_t kAttentionRows = 2;
inline constexpr int kStepProducts = 4;     // products that dot_step adds to a lane of its result
inline constexpr bool kSignedDots = false;  // dot_step multiplies signed bytes: weights up to 127
inline constexpr bool kFoldScales = true;   // dot_s16 is cheaper than i_mul and i_add

struct F32x16 {
  float v[16];
};
struct I32x16 {
  int32_t v[16];
};
struct Bytes64 {
  uint8_t v[64];
};

#define GM_LANES for (int i = 0; i < 16; ++i)

inline F32x16 f_set1(float x) {
  F32x16 r;
  GM_LANES r.v[i] = x;
  return r;
}
inline F32x16 f_zero() { return f_set1(0.0f); }
inline F32x16 f_load(const float* p) {
  F32x16 r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
inline void f_store(float* p, F32x16 a) { std::memcpy(p, a.v, sizeof a.v); }
inline F32x16 f_load_partial(const float* p, size_t n) {  // lanes >= n are 0
  F32x16 r = f_zero();
  std::memcpy(r.v, p, n * sizeof(float));
  return r;
}
inline void f_store_partial(float* p, size_t n, F32x16 a) {
  std::memcpy(p, a.v, n * sizeof(float));
}
inline F32x16 f_load_f16(const uint16_t* p) {
  F32x16 r;
  GM_LANES r.v[i] = f16_to_f32(p[i]);
  return r;
}
inline F32x16 f_load_bf16(const uint16_t* p) {
  F32x16 r;
  GM_LANES r.v[i] = bf16_to_f32(p[i]);
  return r;
}
inline void f_store_f16(uint16_t* p, F32x16 a) { GM_LANES p[i] = f32_to_f16(a.v[i]); }
inline F32x16 f_add(F32x16 a, F32x16 b) {
  GM_LANES a.v[i] += b.v[i];
  return a;
}
inline F32x16 f_sub(F32x16 a, F32x16 b) {
  GM_LANES a.v[i] -= b.v[i];
  return a;
}
inline F32x16 f_mul(F32x16 a, F32x16 b) {
  GM_LANES a.v[i] *= b.v[i];
  return a;
}
inline F32x16 f_div(F32x16 a, F32x16 b) {
  GM_LANES a.v[i] /= b.v[i];
  return a;
}
inline F32x16 f_fma(F32x16 a, F32x16 b, F32x16 c) {  // a * b + c
  GM_LANES c.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
  return c;
}
inline F32x16 f_fnma(F32x16 a, F32x16 b, F32x16 c) {  // c - a * b
  GM_LANES c.v[i] = __builtin_fmaf(-a.v[i], b.v[i], c.v[i]);
  return c;
}
inline F32x16 f_max(F32x16 a, F32x16 b) {  // b if either is NaN, as x86 does
  GM_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline F32x16 f_min(F32x16 a, F32x16 b) {
  GM_LANES a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline F32x16 f_abs(F32x16 a) {
  GM_LANES a.v[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(a.v[i]) & 0x7fffffffu);
  return a;
}
inline F32x16 f_zero_below(F32x16 x, F32x16 limit, F32x16 y) {  // x < limit ? 0 : y
  GM_LANES y.v[i] = x.v[i] < limit.v[i] ? 0.0f : y.v[i];
  return y;
}
inline F32x16 f_pick_below(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {  // x < limit ? a : b
  GM_LANES a.v[i] = x.v[i] < limit.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline F32x16 f_from_i32(I32x16 a) {
  F32x16 r;
  GM_LANES r.v[i] = static_cast<float>(a.v[i]);
  return r;
}
inline I32x16 i_bits(F32x16 a) { return std::bit_cast<I32x16>(a); }
inline F32x16 f_bits(I32x16 a) { return std::bit_cast<F32x16>(a); }

inline I32x16 i_set1(int32_t x) {
  I32x16 r;
  GM_LANES r.v[i] = x;
  return r;
}
inline I32x16 i_zero() { return i_set1(0); }
inline I32x16 i_load(const void* p) {
  I32x16 r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
inline void i_store(void* p, I32x16 a) { std::memcpy(p, a.v, sizeof a.v); }
inline I32x16 i_add(I32x16 a, I32x16 b) {  // wraps, as SIMD does
  GM_LANES a.v[i] =
      static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) + static_cast<uint32_t>(b.v[i]));
  return a;
}
inline I32x16 i_mul(I32x16 a, I32x16 b) {
  GM_LANES a.v[i] =
      static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) * static_cast<uint32_t>(b.v[i]));
  return a;
}
template <int n>
inline I32x16 i_shl(I32x16 a) {
  GM_LANES a.v[i] = static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << n);
  return a;
}
template <int n>
inline I32x16 i_shr(I32x16 a) {  // rounds down
  GM_LANES a.v[i] >>= n;
  return a;
}
inline I32x16 i_load_u8(const uint8_t* p) {  // 16 bytes, zero extended
  I32x16 r;
  GM_LANES r.v[i] = p[i];
  return r;
}
inline I32x16 i_load_s8(const uint8_t* p) {
  I32x16 r;
  GM_LANES r.v[i] = static_cast<int8_t>(p[i]);
  return r;
}
inline I32x16 i_load_s8_pairs(const uint8_t* p) {  // lane i: the int16 pair (p[2 i], p[2 i + 1])
  I32x16 r;
  GM_LANES r.v[i] =
      static_cast<int32_t>((static_cast<uint32_t>(static_cast<int8_t>(p[2 * i])) & 0xffffu) |
                           (static_cast<uint32_t>(static_cast<int8_t>(p[2 * i + 1])) << 16));
  return r;
}
inline void i_store_s8(int8_t* p, I32x16 a) {  // the low byte of each lane
  GM_LANES p[i] = static_cast<int8_t>(a.v[i] & 0xff);
}
// Lane i holds the int16 pair (a[i], b[i]); both fit in 16 bits.
inline I32x16 i_pair16(I32x16 a, I32x16 b) {
  GM_LANES a.v[i] = static_cast<int32_t>((static_cast<uint32_t>(a.v[i]) & 0xffffu) |
                                         (static_cast<uint32_t>(b.v[i]) << 16));
  return a;
}

// The pair (low or high half of a, 0).
inline I32x16 i_low16(I32x16 a) {
  GM_LANES a.v[i] &= 0xffff;
  return a;
}
inline I32x16 i_high16(I32x16 a) {
  GM_LANES a.v[i] = static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) >> 16);
  return a;
}

inline Bytes64 b_load(const uint8_t* p) {
  Bytes64 r;
  std::memcpy(r.v, p, 64);
  return r;
}
inline void b_store(uint8_t* p, Bytes64 a) { std::memcpy(p, a.v, 64); }
inline Bytes64 b_set1(uint8_t x) {
  Bytes64 r;
  std::memset(r.v, x, 64);
  return r;
}
inline Bytes64 b_and(Bytes64 a, Bytes64 b) {
  for (int i = 0; i < 64; ++i) a.v[i] &= b.v[i];
  return a;
}
inline Bytes64 b_or_and(Bytes64 a, Bytes64 b, Bytes64 mask) {  // a | (b & mask)
  for (int i = 0; i < 64; ++i) a.v[i] |= b.v[i] & mask.v[i];
  return a;
}
inline Bytes64 b_xor(Bytes64 a, Bytes64 b) {
  for (int i = 0; i < 64; ++i) a.v[i] ^= b.v[i];
  return a;
}
inline Bytes64 b_sub(Bytes64 a, Bytes64 b) {
  for (int i = 0; i < 64; ++i) a.v[i] = static_cast<uint8_t>(a.v[i] - b.v[i]);
  return a;
}
template <int n>
inline Bytes64 b_shr(Bytes64 a) {  // bits from the byte above may come in: mask afterwards
  for (int i = 0; i < 64; ++i) a.v[i] = static_cast<uint8_t>(a.v[i] >> n);
  return a;
}
template <int n>
inline Bytes64 b_shl(Bytes64 a) {
  for (int i = 0; i < 64; ++i) a.v[i] = static_cast<uint8_t>(a.v[i] << n);
  return a;
}
inline Bytes64 b_lookup16(const uint8_t* table, Bytes64 codes) {  // table[code], codes < 16
  Bytes64 r;
  for (int i = 0; i < 64; ++i) r.v[i] = table[codes.v[i]];
  return r;
}

// Adds the products of unsigned weights and signed activations to the lanes of a dot product: 4 to
// an int32 lane, or where kStepProducts is 2, 2 to an int16 lane, which may hold 32,767 at most.
inline I32x16 dot_step(I32x16 acc, Bytes64 w, I32x16 a) {
  int8_t x[64];
  std::memcpy(x, a.v, 64);
  GM_LANES for (int b = 0; b < 4; ++b) acc.v[i] += w.v[4 * i + b] * x[4 * i + b];
  return acc;
}
// acc + the dot of 4 signed bytes with 4 signed activations per lane. w has gone through
// s8_operand; the result is kS8Bias times the sum of the activations too large.
inline constexpr int kS8Bias = 0;
inline Bytes64 s8_operand(Bytes64 w) { return w; }
inline I32x16 dot_s8(I32x16 acc, Bytes64 w, I32x16 a) {
  int8_t x[64];
  std::memcpy(x, a.v, 64);
  GM_LANES for (int b = 0; b < 4; ++b) acc.v[i] +=
      static_cast<int8_t>(w.v[4 * i + b]) * x[4 * i + b];
  return acc;
}
// The signed bytes 4 i and 4 i + 2 (even), or 4 i + 1 and 4 i + 3 (odd), as the int16 pair of lane
// i.
inline I32x16 i_even_s8(Bytes64 x) {
  I32x16 r;
  GM_LANES r.v[i] =
      static_cast<int32_t>((static_cast<uint32_t>(static_cast<int8_t>(x.v[4 * i])) & 0xffffu) |
                           (static_cast<uint32_t>(static_cast<int8_t>(x.v[4 * i + 2])) << 16));
  return r;
}
inline I32x16 i_odd_s8(Bytes64 x) {
  I32x16 r;
  GM_LANES r.v[i] =
      static_cast<int32_t>((static_cast<uint32_t>(static_cast<int8_t>(x.v[4 * i + 1])) & 0xffffu) |
                           (static_cast<uint32_t>(static_cast<int8_t>(x.v[4 * i + 3])) << 16));
  return r;
}
// acc + the dot of two int16 pairs per lane.
inline I32x16 dot_s16(I32x16 acc, I32x16 a, I32x16 b) {
  GM_LANES acc.v[i] +=
      static_cast<int16_t>(a.v[i] & 0xffff) * static_cast<int16_t>(b.v[i] & 0xffff) +
      (a.v[i] >> 16) * (b.v[i] >> 16);
  return acc;
}
// The operand of dot_s16 that multiplies a dot product of int16 size by a scale of int16 size. A
// negative scale comes as a pair with 0: there is the sign of the dot product. A level without
// kFoldScales multiplies int32 and gets the sign.
inline I32x16 fold_scale(I32x16 s) { return s; }

// The fixed tree: 16 lanes -> 8 -> 4 -> 2 -> 1, upper half onto lower half.
inline float f_reduce_add(F32x16 a) {
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) a.v[i] += a.v[i + n];
  return a.v[0];
}
inline float f_reduce_max(F32x16 a) {
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) a.v[i] = a.v[i] > a.v[i + n] ? a.v[i] : a.v[i + n];
  return a.v[0];
}

#undef GM_LANES

}  // namespace
}  // namespace gm::GM_ISA
