// SPDX-License-Identifier: MIT
// sin, cos, exp, log in double without libm: C libraries differ in the last bit, and what reaches a
// logit must be the same bits everywhere. Plain IEEE operations in a fixed order (the build forbids
// contraction); accurate to a few units in the last place of a double.
#pragma once

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

}  // namespace gm
