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
#include "runtime/logit_edits.h"

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

// Against a sort of the whole edited row; a mask is given as a row with -infinity.
void check_edited(const std::vector<float>& row, const std::vector<gm::LogitEdit>& edits,
                  size_t n) {
  const size_t blocks = gm::logit_blocks(row.size());
  std::vector<double> edited(row.begin(), row.end());
  for (const gm::LogitEdit& edit : edits) edited[static_cast<size_t>(edit.id)] = edit.logit;
  std::vector<int32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return edited[static_cast<size_t>(a)] > edited[static_cast<size_t>(b)];
  });
  order.resize(std::min(n, row.size()));
  long double sum = 0;
  for (const double x : edited) sum += std::exp(static_cast<long double>(x));
  for (const gm::KernelTable* kernels : gm::test::levels()) {
    std::vector<float> maxima(blocks), sums(blocks);
    kernels->logit_blocks(row.data(), row.size(), maxima.data(), sums.data());
    const gm::LogitRow whole{row.data(), row.size(), maxima.data(), sums.data()};
    const gm::EditedCandidates got =
        gm::best_edited_candidates(*kernels, whole, n, edits, {.mass = true, .deviation = true});
    CHECK(got.ids == order);
    for (size_t i = 0; i < order.size() && i < got.logits.size(); ++i) {
      CHECK_EQ(got.logits[i], edited[static_cast<size_t>(order[i])]);
      CHECK_EQ(got.raw[i], row[static_cast<size_t>(order[i])]);
    }
    CHECK(std::abs(got.edited_logsumexp - static_cast<double>(std::log(sum))) < 2e-6);
    CHECK(got.deviation > 0);
  }
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

GM_TEST(edited_rows) {
  std::mt19937 random(5);
  for (const size_t V : {300u, 4096u, 32003u}) {
    const std::vector<float> row = normal_row(V, static_cast<unsigned>(V), 3.0f);
    for (const size_t count : {0u, 1u, 64u, 250u}) {
      std::vector<int32_t> ids(V);
      std::iota(ids.begin(), ids.end(), 0);
      std::shuffle(ids.begin(), ids.end(), random);
      ids.resize(count);
      std::sort(ids.begin(), ids.end());
      std::vector<gm::LogitEdit> edits;
      for (const int32_t id : ids)
        edits.push_back({id, id % 3 == 0 ? -static_cast<double>(kInf) : 5.0 - id % 11});
      for (const size_t n : {1u, 40u, 300u, 40000u}) check_edited(row, edits, n);
    }
  }
}

GM_TEST(changes_of_logits) {
  std::vector<float> row = {4, -4, 0, 1, kNan};
  const gm::LogitRow whole{row.data(), row.size(), nullptr, nullptr};
  const std::vector<gm::LogitEdit> bias = {{1, 1.0}, {3, 2.0}}, less = {{0, 0.5}, {2, 8.0}};
  const std::vector<int32_t> recent = {0, 1, 1, 4};
  const std::vector<gm::LogitEdit> got =
      gm::logit_edits(whole, {bias, recent, 2.0, 0.5, 0.25, less});
  const std::vector<double> logits = {4 / 2.0 - 0.75 - 0.5, -3 * 2.0 - 1.25, -8.0, 3.0, -kInf};
  CHECK_EQ(got.size(), logits.size());
  for (size_t i = 0; i < got.size() && i < logits.size(); ++i) {
    CHECK_EQ(got[i].id, static_cast<int32_t>(i));
    CHECK_EQ(got[i].logit, logits[i]);
  }
}

GM_TEST(masked_rows) {
  const std::vector<float> row = normal_row(1000, 3, 2.0f);
  std::vector<uint32_t> mask(32, 0);
  mask[3] = ~uint32_t{0};
  mask[7] = 0x80000001u;
  mask[31] = ~uint32_t{0};  // the row ends after 8 of them
  const gm::KernelTable& kernels = *gm::test::levels().front();
  gm::MaskedRow masked;
  const gm::LogitRow got = masked.apply(kernels, {row.data(), row.size(), nullptr, nullptr}, mask);
  for (size_t i = 0; i < row.size(); ++i) {
    const bool allowed = ((mask[i / 32] >> (i % 32)) & 1) != 0;
    CHECK_EQ(got.logits[i], allowed ? row[i] : -kInf);
  }
  for (const size_t n : {1u, 42u, 100u, 1000u}) {
    const auto best = gm::best_edited_candidates(kernels, got, n, {}, {});
    CHECK_EQ(best.ids.size(), std::min<size_t>(n, 42));
    for (const float x : best.raw) CHECK(x > -kInf);
  }
  const std::vector<gm::LogitEdit> edits = {{0, -static_cast<double>(kInf)}, {96, 50.0}};
  const auto best = gm::best_edited_candidates(kernels, got, 1000, edits, {});
  CHECK_EQ(best.ids.size(), 42u);
  CHECK_EQ(best.ids[0], 96);
  mask.assign(32, 0);
  const gm::LogitRow none = masked.apply(kernels, {row.data(), row.size(), nullptr, nullptr}, mask);
  CHECK(gm::best_edited_candidates(kernels, none, 5, {}, {}).ids.empty());
}
