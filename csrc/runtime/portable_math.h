// SPDX-License-Identifier: MIT
// sin, cos, exp, log in double and exp in f32 without libm: C libraries differ in the last bit, and
// what reaches a logit must be the same bits everywhere. Plain IEEE operations in a fixed order
// (the build forbids contraction); accurate to a few units in the last place of a double.
#pragma once

#include <bit>
#include <cstdint>

namespace gm {

inline constexpr double kMaxAngle = 0x1p24;  // up to here the range reduction of sin_cos is exact

struct SinCos {
  double sin = 0;
  double cos = 1;
};

// 0 <= x <= kMaxAngle, in radians.
SinCos sin_cos(double x) noexcept;
// |x| <= 700.
double portable_exp(double x) noexcept;
// x > 0, normal.
double portable_log(double x) noexcept;

// e^x for x <= 0 to one unit in the last place of f32; 0 below -87 and for NaN. Selections are on
// integers, so that compilers turn loops over it into vector code under strict floating point.
inline float exp_negative(float x) noexcept {
  constexpr float kLog2e = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.62e4p-1f;  // 15 bits: k * kLn2High is exact
  constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  constexpr float kRound = 0x1.8p23f;     // adding it rounds to an integer, kept in the low bits
  constexpr int32_t kLimit = 0x42ae0000;  // bits of 87
  const auto magnitude = static_cast<int32_t>(std::bit_cast<uint32_t>(x) & 0x7fffffffu);
  const int32_t keep = magnitude <= kLimit ? -1 : 0;
  const float y = -std::bit_cast<float>(magnitude & keep);  // -0 where the result will be 0
  const float shifted = y * kLog2e + kRound;
  const float k = shifted - kRound;
  const float r = (y - k * kLn2High) - k * kLn2Low;  // |r| <= ln2 / 2
  float p = 0x1.6a2414p-10f;                         // minimax, relative error 4e-9
  p = p * r + 0x1.1239f6p-7f;
  p = p * r + 0x1.5558f2p-5f;
  p = p * r + 0x1.555492p-3f;
  p = p * r + 0x1.fffffcp-2f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;  // 2^k
  const float scaled = p * std::bit_cast<float>(power);
  return std::bit_cast<float>(static_cast<int32_t>(std::bit_cast<uint32_t>(scaled)) & keep);
}

}  // namespace gm
