// SPDX-License-Identifier: MIT
// Our sin, cos, exp, log against the C library's in double, and rope tables against long double:
// every entry is the f32 nearest to the true value, or its neighbour where that is a near tie.
#include "runtime/rope_table.h"

#include <cmath>
#include <random>

#include "base/error.h"
#include "check.h"
#include "runtime/portable_math.h"

namespace {

double error_in_ulps(float got, double exact) {
  const double ulp = std::max(std::abs(exact) * 0x1p-23, 0x1p-149);
  return std::abs(static_cast<double>(got) - exact) / ulp;
}

double worst_entry(const gm::RopeSpec& spec, const float* factors, size_t context) {
  const gm::RopeTable table(spec, factors, context);
  double worst = 0;
  for (size_t position = 0; position < context; position += position < 100 ? 1 : 97) {
    for (size_t i = 0; i < spec.n_rot / 2; ++i) {
      const long double exponent = -2.0L * static_cast<long double>(i) / spec.n_rot;
      long double angle = powl(spec.freq_base, exponent) * spec.scale * position;
      if (!spec.scales.empty()) angle *= spec.scales[i];
      if (factors != nullptr) angle /= factors[i];
      const float* pair = table.cos_sin() + position * spec.n_rot + 2 * i;
      // Near a zero of cos or sin the angle's own rounding shows: an absolute bound there.
      for (const auto& [got, exact] :
           {std::pair{pair[0], static_cast<double>(cosl(angle) * spec.magnitude)},
            std::pair{pair[1], static_cast<double>(sinl(angle) * spec.magnitude)}}) {
        if (std::abs(static_cast<double>(got) - exact) > 1e-10)
          worst = std::max(worst, error_in_ulps(got, exact));
      }
    }
  }
  return worst;
}

}  // namespace

GM_TEST(sin_and_cos) {
  std::mt19937_64 random(1);
  for (const double range : {1.0, 10.0, 1e3, 1e5, gm::kMaxAngle}) {
    std::uniform_real_distribution<double> angles(0, range);
    for (int i = 0; i < 100000; ++i) {
      const double x = angles(random);
      const gm::SinCos got = gm::sin_cos(x);
      CHECK(std::abs(got.sin - std::sin(x)) < 3e-16);
      CHECK(std::abs(got.cos - std::cos(x)) < 3e-16);
    }
  }
  CHECK_EQ(gm::sin_cos(0).sin, 0.0);
  CHECK_EQ(gm::sin_cos(0).cos, 1.0);
}

GM_TEST(exp_and_log) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> exponents(-300, 300);
  for (int i = 0; i < 100000; ++i) {
    const double x = exponents(random), y = std::exp(x);
    CHECK(std::abs(gm::portable_exp(x) / y - 1) < 1e-15);
    CHECK(std::abs(gm::portable_log(y) - x) < 1e-15 * std::max(1.0, std::abs(x)));
  }
  CHECK_EQ(gm::portable_log(1.0), 0.0);
  CHECK_EQ(gm::portable_exp(0.0), 1.0);
}

GM_TEST(rope_tables_are_rounded_right) {
  CHECK(worst_entry({10000.0, 1.0, 128, gm::kNone}, nullptr, 4096) <= 1.001);
  CHECK(worst_entry({500000.0, 1.0, 64, gm::kNone}, nullptr, 131072) <= 1.001);
  CHECK(worst_entry({10000.0, 0.25, 80, gm::kNone}, nullptr, 2048) <= 1.001);
  std::vector<float> factors(32);
  for (size_t i = 0; i < factors.size(); ++i) factors[i] = 1.0f + static_cast<float>(i) / 4;
  CHECK(worst_entry({500000.0, 1.0, 64, gm::kNone}, factors.data(), 8192) <= 1.001);
}

GM_TEST(scales_of_pairs_and_the_magnitude) {
  gm::RopeSpec spec{10000.0, 0.5, 64, gm::kNone};
  for (size_t i = 0; i < 32; ++i) spec.scales.push_back(1.0 - 0.02 * static_cast<double>(i));
  spec.magnitude = 1.25;
  CHECK(worst_entry(spec, nullptr, 4096) <= 1.001);
}

GM_TEST(queries_grow_with_their_position) {
  gm::RopeSpec spec{10000.0, 1.0, 8, gm::kNone};
  CHECK(gm::RopeTable(spec, nullptr, 100).query_scales() == nullptr);
  spec.query_slope = 0.1;
  spec.query_length = 30;
  const gm::RopeTable table(spec, nullptr, 100);
  for (size_t p = 0; p < 100; ++p)
    CHECK(error_in_ulps(table.query_scales()[p],
                        1.0 + 0.1 * std::log(1.0 + std::floor(static_cast<double>(p) / 30))) <= 1);
  CHECK_EQ(table.query_scales()[29], 1.0f);
  CHECK(table.bytes() >= gm::RopeTable::bytes_for(spec, 100));
}

GM_TEST(long_contexts_take_other_factors) {
  gm::RopeSpec spec{10000.0, 1.0, 8, 3, 5, 64};
  CHECK_EQ(gm::factors_for(spec, 64), 3u);
  CHECK_EQ(gm::factors_for(spec, 65), 5u);
  gm::RopeTables tables;
  tables.context = 100;
  CHECK(tables.serve({spec}, 100));
  CHECK(tables.serve({spec}, 65));
  CHECK(!tables.serve({spec}, 64));
  CHECK(!tables.serve({spec}, 101));
  spec.long_factors = gm::kNone;
  CHECK(tables.serve({spec}, 64));
}

GM_TEST(impossible_angles) {
  const float zero = 0.0f, tiny = 1e-20f, negative = -1.0f, nan = NAN;
  for (const float* factor : {&zero, &tiny, &negative, &nan})
    CHECK_THROWS(gm::FormatError, "Angles", gm::RopeTable({10000.0, 1.0, 2, 0}, factor, 1000));
}
