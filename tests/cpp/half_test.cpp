// SPDX-License-Identifier: MIT
// f16 and bf16 against a reference in double arithmetic: every one of the 65,536 codes, and for
// rounding every midpoint between neighbours with the floats on both sides of it.
#include "base/half.h"

#include <cmath>
#include <limits>

#include "check.h"

namespace {

// The value of an f16 or bf16 code from the definition: sign, exponent, mantissa.
double reference(uint32_t code, int exponent_bits, int mantissa_bits) {
  const uint32_t mantissa = code & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>(code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double sign = (code >> 15) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1)
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  const double fraction = static_cast<double>(mantissa) + (exponent != 0 ? 1 << mantissa_bits : 0);
  const int power = (exponent != 0 ? exponent : 1) - bias - mantissa_bits;
  return sign * std::ldexp(fraction, power);
}

struct Codec {
  int exponent_bits, mantissa_bits;
  float (*widen)(uint16_t) noexcept;
  uint16_t (*narrow)(float) noexcept;
};

constexpr Codec kF16 = {5, 10, gm::f16_to_f32, gm::f32_to_f16};
constexpr Codec kBf16 = {8, 7, gm::bf16_to_f32, gm::f32_to_bf16};

void check_every_code(const Codec& c) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const double expected = reference(code, c.exponent_bits, c.mantissa_bits);
    const float wide = c.widen(static_cast<uint16_t>(code));
    if (std::isnan(expected)) {
      CHECK(std::isnan(wide));
      CHECK(std::isnan(c.widen(c.narrow(wide))));
      continue;
    }
    CHECK_EQ(static_cast<double>(wide), expected);
    CHECK_EQ(std::signbit(wide), std::signbit(expected));
    CHECK_EQ(c.narrow(wide), code);
  }
}

// Between code and code + 1: below the midpoint down, above it up, on it to the even code.
void check_every_midpoint(const Codec& c) {
  const uint32_t infinity = ((1u << c.exponent_bits) - 1) << c.mantissa_bits;
  for (uint32_t code = 0; code < infinity; ++code) {
    const double low = reference(code, c.exponent_bits, c.mantissa_bits);
    // The step above the largest finite code is the one below it: where infinity would stand.
    const double step = code + 1 < infinity
                            ? reference(code + 1, c.exponent_bits, c.mantissa_bits) - low
                            : low - reference(code - 1, c.exponent_bits, c.mantissa_bits);
    const auto middle = static_cast<float>(low + step / 2);
    CHECK_EQ(static_cast<double>(middle), low + step / 2);
    const float huge = std::numeric_limits<float>::infinity();
    for (const uint32_t sign : {0u, 0x8000u}) {
      const float s = sign != 0 ? -1.0f : 1.0f;
      CHECK_EQ(c.narrow(s * middle), sign | (code + (code & 1)));
      CHECK_EQ(c.narrow(s * std::nextafterf(middle, 0.0f)), sign | code);
      CHECK_EQ(c.narrow(s * std::nextafterf(middle, huge)), sign | (code + 1));
    }
  }
}

}  // namespace

GM_TEST(f16_every_code) { check_every_code(kF16); }
GM_TEST(f16_every_midpoint) { check_every_midpoint(kF16); }
GM_TEST(bf16_every_code) { check_every_code(kBf16); }
GM_TEST(bf16_every_midpoint) { check_every_midpoint(kBf16); }

GM_TEST(out_of_range_becomes_infinity) {
  CHECK_EQ(gm::f32_to_f16(1e6f), 0x7c00);
  CHECK_EQ(gm::f32_to_f16(-1e6f), 0xfc00);
  CHECK_EQ(gm::f32_to_f16(1e-30f), 0);
  CHECK_EQ(gm::f32_to_f16(-1e-30f), 0x8000);
}
