// SPDX-License-Identifier: MIT
// The best n against a stable sort, for sizes around the block borders and rows full of ties, NaN
// and infinities; logsumexp against long double; both the same bits on every ISA level.
#include "runtime/candidates.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "check.h"
#include "levels.h"

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

gm::Candidates best(const gm::KernelTable& kernels, const std::vector<float>& row, size_t n) {
  const size_t blocks = gm::logit_blocks(row.size());
  std::vector<float> maxima(blocks), sums(blocks);
  kernels.logit_blocks(row.data(), row.size(), maxima.data(), sums.data());
  return gm::best_candidates(kernels, {row.data(), row.size(), maxima.data(), sums.data()}, n);
}

void check_against_sort(const std::vector<float>& row, size_t n) {
  std::vector<int32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](int32_t id) {
    const float x = row[static_cast<size_t>(id)];
    return std::pair(std::isnan(x), std::isnan(x) ? 0.0f : -x);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return key(a) < key(b); });
  order.resize(std::min(n, row.size()));
  std::vector<gm::Candidates> all;
  for (const gm::KernelTable* kernels : gm::test::levels()) all.push_back(best(*kernels, row, n));
  const gm::Candidates& got = all[0];
  for (const gm::Candidates& other : all) {
    CHECK(other.ids == order);
    CHECK(gm::test::same_bits(other.logits, got.logits));
    CHECK(std::memcmp(&other.logsumexp, &got.logsumexp, sizeof got.logsumexp) == 0);
  }
  for (size_t i = 0; i < order.size() && i < got.logits.size(); ++i)
    CHECK(std::memcmp(&got.logits[i], &row[static_cast<size_t>(order[i])], 4) == 0);

  long double sum = 0, top = -kInf;
  for (const float x : row)
    if (!std::isnan(x)) top = std::max<long double>(top, x);
  for (const float x : row)
    if (!std::isnan(x)) sum += std::exp(x - top);
  const double expected = static_cast<double>(top + std::log(sum));
  if (std::isfinite(expected)) {
    CHECK(std::abs(got.logsumexp - expected) < 2e-7);
  } else {
    CHECK_EQ(got.logsumexp, static_cast<double>(top));
  }
}

std::vector<float> normal_row(size_t n, unsigned seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> values(0, scale);
  std::vector<float> row(n);
  for (float& x : row) x = values(random);
  return row;
}

}  // namespace

GM_TEST(sizes) {
  for (const size_t V : {1u, 2u, 15u, 63u, 64u, 65u, 127u, 1000u, 4096u, 32003u})
    for (const size_t n : {0u, 1u, 2u, 5u, 63u, 64u, 65u, 501u, 40000u})
      check_against_sort(normal_row(V, static_cast<unsigned>(V), 4.0f), n);
}

GM_TEST(ties_go_to_the_lower_id) {
  std::vector<float> row = normal_row(5000, 7, 2.0f);
  for (float& x : row) x = std::round(x);  // and both zeros
  for (const size_t n : {1u, 40u, 78u, 79u, 80u, 1000u, 5000u}) check_against_sort(row, n);
  check_against_sort(std::vector<float>(1000, 3.0f), 100);
}

GM_TEST(both_zeros_are_one_value) {
  std::vector<float> row(300, -1.0f);
  row[5] = -0.0f;
  row[200] = 0.0f;
  row[250] = -0.0f;
  for (const size_t n : {1u, 2u, 3u, 4u}) check_against_sort(row, n);
}

GM_TEST(nan_and_infinities) {
  std::vector<float> row = normal_row(1000, 9, 3.0f);
  for (size_t i = 0; i < row.size(); i += 3) row[i] = i % 2 == 0 ? kNan : -kNan;
  for (size_t i = 1; i < row.size(); i += 7) row[i] = -kInf;
  for (const size_t n : {1u, 16u, 17u, 500u, 900u, 1000u}) check_against_sort(row, n);
  row[501] = kInf;
  check_against_sort(row, 10);
  check_against_sort(std::vector<float>(130, -kInf), 7);
  check_against_sort(std::vector<float>(130, kInf), 7);
  const std::vector<float> nans(130, kNan);
  for (const gm::KernelTable* kernels : gm::test::levels())
    CHECK_EQ(best(*kernels, nans, 3).ids.size(), 3u);
}

GM_TEST(logits_of_any_size) {
  for (const float scale : {1e-30f, 1e-3f, 1.0f, 30.0f, 1e4f, 1e37f})
    check_against_sort(normal_row(2000, 3, scale), 10);
}
