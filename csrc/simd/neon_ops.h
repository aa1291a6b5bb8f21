// SPDX-License-Identifier: MIT
// What the levels on ARM share: a vector of 16 lanes is four 128-bit registers. The level's own
// header adds its dot products; scalar.h documents the operations. A maximum is a compare and a
// select: fmax would return a NaN where the contract wants the second operand.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gm::GM_ISA {
namespace {

inline constexpr size_t kMaxTile = 4;         // 16 of 32 registers accumulate
inline constexpr size_t kTokenMajorTile = 0;  // see amx_int8.h
inline constexpr size_t kDirectTokens = 2;    // up to here weights are expanded in registers
inline constexpr int kPanelPair = 1;          // panels that share a broadcast activation in prefill
inline constexpr size_t kAttentionRows = 2;   // 2 x 2 accumulators of 4 registers, and 2 keys
inline constexpr int kStepProducts = 4;
inline constexpr bool kFoldScales = false;  // dot_s16 is four instructions, mla one

struct F32x16 {
  float32x4_t q0, q1, q2, q3;
};
struct I32x16 {
  int32x4_t q0, q1, q2, q3;
};
struct Bytes64 {
  uint8x16_t q0, q1, q2, q3;
};

// f of each of the four registers.
template <class R, class F, class... A>
inline R each(F f, A... a) {
  return {f(a.q0...), f(a.q1...), f(a.q2...), f(a.q3...)};
}

inline F32x16 f_set1(float x) {
  const float32x4_t q = vdupq_n_f32(x);
  return {q, q, q, q};
}
inline F32x16 f_zero() { return f_set1(0.0f); }
inline F32x16 f_load(const float* p) {
  return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
inline void f_store(float* p, F32x16 a) {
  vst1q_f32(p, a.q0);
  vst1q_f32(p + 4, a.q1);
  vst1q_f32(p + 8, a.q2);
  vst1q_f32(p + 12, a.q3);
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
inline float32x4_t f16_quad(const uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
inline F32x16 f_load_f16(const uint16_t* p) {
  return {f16_quad(p), f16_quad(p + 4), f16_quad(p + 8), f16_quad(p + 12)};
}
inline float32x4_t bf16_quad(const uint16_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
inline F32x16 f_load_bf16(const uint16_t* p) {
  return {bf16_quad(p), bf16_quad(p + 4), bf16_quad(p + 8), bf16_quad(p + 12)};
}
inline void f_store_f16(uint16_t* p, F32x16 a) {  // to nearest even, the state of FPCR at start
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a.q0)));
  vst1_u16(p + 4, vreinterpret_u16_f16(vcvt_f16_f32(a.q1)));
  vst1_u16(p + 8, vreinterpret_u16_f16(vcvt_f16_f32(a.q2)));
  vst1_u16(p + 12, vreinterpret_u16_f16(vcvt_f16_f32(a.q3)));
}
inline F32x16 f_add(F32x16 a, F32x16 b) {
  return each<F32x16>([](auto x, auto y) { return vaddq_f32(x, y); }, a, b);
}
inline F32x16 f_sub(F32x16 a, F32x16 b) {
  return each<F32x16>([](auto x, auto y) { return vsubq_f32(x, y); }, a, b);
}
inline F32x16 f_mul(F32x16 a, F32x16 b) {
  return each<F32x16>([](auto x, auto y) { return vmulq_f32(x, y); }, a, b);
}
inline F32x16 f_div(F32x16 a, F32x16 b) {
  return each<F32x16>([](auto x, auto y) { return vdivq_f32(x, y); }, a, b);
}
inline F32x16 f_fma(F32x16 a, F32x16 b, F32x16 c) {
  return each<F32x16>([](auto x, auto y, auto z) { return vfmaq_f32(z, x, y); }, a, b, c);
}
inline F32x16 f_fnma(F32x16 a, F32x16 b, F32x16 c) {
  return each<F32x16>([](auto x, auto y, auto z) { return vfmsq_f32(z, x, y); }, a, b, c);
}
inline float32x4_t larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline F32x16 f_max(F32x16 a, F32x16 b) {
  return each<F32x16>([](auto x, auto y) { return larger(x, y); }, a, b);
}
inline F32x16 f_min(F32x16 a, F32x16 b) {
  return each<F32x16>([](auto x, auto y) { return vbslq_f32(vcltq_f32(x, y), x, y); }, a, b);
}
inline F32x16 f_abs(F32x16 a) {
  return each<F32x16>([](auto x) { return vabsq_f32(x); }, a);
}
inline F32x16 f_zero_below(F32x16 x, F32x16 limit, F32x16 y) {
  return each<F32x16>(
      [](auto value, auto least, auto kept) {
        return vreinterpretq_f32_u32(
            vbicq_u32(vreinterpretq_u32_f32(kept), vcltq_f32(value, least)));
      },
      x, limit, y);
}
inline F32x16 f_pick_below(F32x16 x, F32x16 limit, F32x16 a, F32x16 b) {
  return each<F32x16>([](auto value, auto least, auto yes,
                         auto no) { return vbslq_f32(vcltq_f32(value, least), yes, no); },
                      x, limit, a, b);
}
inline F32x16 f_from_i32(I32x16 a) {
  return each<F32x16>([](auto x) { return vcvtq_f32_s32(x); }, a);
}
inline I32x16 i_bits(F32x16 a) {
  return each<I32x16>([](auto x) { return vreinterpretq_s32_f32(x); }, a);
}
inline F32x16 f_bits(I32x16 a) {
  return each<F32x16>([](auto x) { return vreinterpretq_f32_s32(x); }, a);
}

inline I32x16 i_set1(int32_t x) {
  const int32x4_t q = vdupq_n_s32(x);
  return {q, q, q, q};
}
inline I32x16 i_zero() { return i_set1(0); }
inline Bytes64 b_load(const uint8_t* p) {
  return {vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)};
}
inline void b_store(uint8_t* p, Bytes64 a) {
  vst1q_u8(p, a.q0);
  vst1q_u8(p + 16, a.q1);
  vst1q_u8(p + 32, a.q2);
  vst1q_u8(p + 48, a.q3);
}
inline I32x16 i_load(const void* p) {
  return each<I32x16>([](auto x) { return vreinterpretq_s32_u8(x); },
                      b_load(static_cast<const uint8_t*>(p)));
}
inline void i_store(void* p, I32x16 a) {
  b_store(static_cast<uint8_t*>(p),
          each<Bytes64>([](auto x) { return vreinterpretq_u8_s32(x); }, a));
}
inline I32x16 i_add(I32x16 a, I32x16 b) {
  return each<I32x16>([](auto x, auto y) { return vaddq_s32(x, y); }, a, b);
}
inline I32x16 i_mul(I32x16 a, I32x16 b) {
  return each<I32x16>([](auto x, auto y) { return vmulq_s32(x, y); }, a, b);
}
template <int n>
inline I32x16 i_shl(I32x16 a) {
  return each<I32x16>([](auto x) { return vshlq_n_s32(x, n); }, a);
}
template <int n>
inline I32x16 i_shr(I32x16 a) {
  if constexpr (n == 0)  // the instruction shifts by 1 at least
    return a;
  else
    return each<I32x16>([](auto x) { return vshrq_n_s32(x, n); }, a);
}
inline I32x16 i_load_u8(const uint8_t* p) {
  const uint8x16_t b = vld1q_u8(p);
  const uint16x8_t lo = vmovl_u8(vget_low_u8(b)), hi = vmovl_high_u8(b);
  return {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(lo))),
          vreinterpretq_s32_u32(vmovl_high_u16(lo)),
          vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(hi))),
          vreinterpretq_s32_u32(vmovl_high_u16(hi))};
}
inline I32x16 i_load_s8(const uint8_t* p) {
  const int8x16_t b = vreinterpretq_s8_u8(vld1q_u8(p));
  const int16x8_t lo = vmovl_s8(vget_low_s8(b)), hi = vmovl_high_s8(b);
  return {vmovl_s16(vget_low_s16(lo)), vmovl_high_s16(lo), vmovl_s16(vget_low_s16(hi)),
          vmovl_high_s16(hi)};
}
inline I32x16 i_load_s8_pairs(const uint8_t* p) {
  const int8x16_t lo = vreinterpretq_s8_u8(vld1q_u8(p));
  const int8x16_t hi = vreinterpretq_s8_u8(vld1q_u8(p + 16));
  return {
      vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(lo))), vreinterpretq_s32_s16(vmovl_high_s8(lo)),
      vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(hi))), vreinterpretq_s32_s16(vmovl_high_s8(hi))};
}
inline int16x8_t low_halves(int32x4_t a, int32x4_t b) {
  return vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
}
inline void i_store_s8(int8_t* p, I32x16 a) {
  vst1q_s8(p, vuzp1q_s8(vreinterpretq_s8_s16(low_halves(a.q0, a.q1)),
                        vreinterpretq_s8_s16(low_halves(a.q2, a.q3))));
}
inline I32x16 i_pair16(I32x16 a, I32x16 b) {
  return each<I32x16>([](auto x, auto y) { return vsliq_n_s32(x, y, 16); }, a, b);
}
inline I32x16 i_low16(I32x16 a) {
  return each<I32x16>([](auto x) { return vandq_s32(x, vdupq_n_s32(0xffff)); }, a);
}
inline I32x16 i_high16(I32x16 a) {
  return each<I32x16>(
      [](auto x) { return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(x), 16)); }, a);
}

inline Bytes64 b_set1(uint8_t x) {
  const uint8x16_t q = vdupq_n_u8(x);
  return {q, q, q, q};
}
inline Bytes64 b_and(Bytes64 a, Bytes64 b) {
  return each<Bytes64>([](auto x, auto y) { return vandq_u8(x, y); }, a, b);
}
inline Bytes64 b_or_and(Bytes64 a, Bytes64 b, Bytes64 mask) {
  return each<Bytes64>([](auto x, auto y, auto m) { return vorrq_u8(x, vandq_u8(y, m)); }, a, b,
                       mask);
}
inline Bytes64 b_xor(Bytes64 a, Bytes64 b) {
  return each<Bytes64>([](auto x, auto y) { return veorq_u8(x, y); }, a, b);
}
inline Bytes64 b_sub(Bytes64 a, Bytes64 b) {
  return each<Bytes64>([](auto x, auto y) { return vsubq_u8(x, y); }, a, b);
}
template <int n>
inline Bytes64 b_shr(Bytes64 a) {
  return each<Bytes64>([](auto x) { return vshrq_n_u8(x, n); }, a);
}
template <int n>
inline Bytes64 b_shl(Bytes64 a) {
  return each<Bytes64>([](auto x) { return vshlq_n_u8(x, n); }, a);
}
inline Bytes64 b_lookup16(const uint8_t* table, Bytes64 codes) {
  const uint8x16_t t = vld1q_u8(table);
  return each<Bytes64>([t](auto x) { return vqtbl1q_u8(t, x); }, codes);
}

inline I32x16 i_even_s8(Bytes64 x) {
  return each<I32x16>(
      [](auto b) {
        return vreinterpretq_s32_s16(vshrq_n_s16(vshlq_n_s16(vreinterpretq_s16_u8(b), 8), 8));
      },
      x);
}
inline I32x16 i_odd_s8(Bytes64 x) {
  return each<I32x16>(
      [](auto b) { return vreinterpretq_s32_s16(vshrq_n_s16(vreinterpretq_s16_u8(b), 8)); }, x);
}
inline I32x16 dot_s16(I32x16 acc, I32x16 a, I32x16 b) {
  return each<I32x16>(
      [](auto sum, auto x, auto y) {
        const int16x8_t p = vreinterpretq_s16_s32(x), q = vreinterpretq_s16_s32(y);
        const int32x4_t low = vmull_s16(vget_low_s16(p), vget_low_s16(q));
        return vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(p, q)));
      },
      acc, a, b);
}
inline I32x16 fold_scale(I32x16 s) { return s; }
inline constexpr int kS8Bias = 0;
inline Bytes64 s8_operand(Bytes64 w) { return w; }

inline float f_reduce_add(F32x16 a) {
  const float32x4_t h4 = vaddq_f32(vaddq_f32(a.q0, a.q2), vaddq_f32(a.q1, a.q3));
  const float32x2_t h2 = vadd_f32(vget_low_f32(h4), vget_high_f32(h4));
  return vget_lane_f32(h2, 0) + vget_lane_f32(h2, 1);
}
inline float f_reduce_max(F32x16 a) {
  const float32x4_t h4 = larger(larger(a.q0, a.q2), larger(a.q1, a.q3));
  const float32x4_t h2 = larger(h4, vextq_f32(h4, h4, 2));
  return vgetq_lane_f32(larger(h2, vextq_f32(h2, h2, 1)), 0);
}

}  // namespace
}  // namespace gm::GM_ISA
