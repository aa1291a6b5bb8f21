// SPDX-License-Identifier: MIT
// Range reduction, then Taylor polynomials long enough that the next term is below 2^-56.
#include "runtime/portable_math.h"

#include <bit>
#include <cstdint>

namespace gm {
namespace {

// pi/2 in pieces of 29 bits: k * piece is exact for the 24-bit k of kMaxAngle.
constexpr double kHalfPi1 = 0x1.921fb54p+0;
constexpr double kHalfPi2 = 0x1.10b4611p-30;
constexpr double kHalfPi3 = 0x1.4c4c6628b80dcp-59;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;

// ln 2 in a piece of 32 bits, exact times any exponent, and the rest.
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kLog2e = 0x1.71547652b82fep+0;

// sum of z^i / (first (first + 1) (first + 2) ...)-like series are written by their ratios:
// sin r = r (1 - z/(2 3) (1 - z/(4 5) (1 - ...))), z = r^2; nested from the inside out.
double sin_poly(double r) noexcept {
  const double z = r * r;
  double p = 1.0;
  for (int n = 18; n >= 2; n -= 2) p = 1.0 - z / (n * (n + 1)) * p;
  return r * p;
}

double cos_poly(double r) noexcept {
  const double z = r * r;
  double p = 1.0;
  for (int n = 17; n >= 1; n -= 2) p = 1.0 - z / (n * (n + 1)) * p;
  return p;
}

double power_of_two(int64_t k) noexcept {  // -1022 <= k <= 1023
  return std::bit_cast<double>(static_cast<uint64_t>(k + 1023) << 52);
}

}  // namespace

SinCos sin_cos(double x) noexcept {
  const auto k = static_cast<int64_t>(x * kTwoOverPi + 0.5);
  const auto kd = static_cast<double>(k);
  const double r = ((x - kd * kHalfPi1) - kd * kHalfPi2) - kd * kHalfPi3;
  const double s = sin_poly(r);
  const double c = cos_poly(r);
  switch (k & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

double portable_exp(double x) noexcept {
  const double scaled = x * kLog2e;
  const auto k = static_cast<int64_t>(scaled + (scaled >= 0 ? 0.5 : -0.5));
  const auto kd = static_cast<double>(k);
  const double r = (x - kd * kLn2High) - kd * kLn2Low;
  double p = 1.0;
  for (int n = 14; n >= 1; --n) p = 1.0 + r / n * p;
  return p * power_of_two(k);
}

double portable_log(double x) noexcept {
  constexpr uint64_t kMantissa = (1ull << 52) - 1;
  const auto bits = std::bit_cast<uint64_t>(x);
  auto e = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & kMantissa) | (1023ull << 52));  // [1, 2)
  if (m > 0x1.6a09e667f3bcdp+0) {                                          // sqrt 2
    m *= 0.5;
    ++e;
  }
  // log m = 2 atanh s, |s| <= 0.172.
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 0.0;
  for (int n = 23; n >= 1; n -= 2) p = p * z + 1.0 / n;
  const auto ed = static_cast<double>(e);
  return ed * kLn2High + (2.0 * s * p + ed * kLn2Low);
}

}  // namespace gm
