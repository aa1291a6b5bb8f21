// SPDX-License-Identifier: MIT
// One pass takes the maximum of every block of 64 logits. The n-th best block maximum is a lower
// bound of the n-th best logit (n blocks hold a value at least as good), so only blocks that reach
// it are looked at again: for n = 64 of 128k that is 64 blocks, not 2000. The exponentials are f32
// polynomials (error below that of an f32 logit) summed in double over 16 lanes in a fixed order.
#include "runtime/candidates.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "runtime/portable_math.h"

namespace gm {
namespace {

constexpr size_t kBlock = 64;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

// An order on bits: greater is better, NaN is last, -0 equals +0.
uint32_t rank(float x) noexcept {
  if (x != x) return 0;
  const auto bits = std::bit_cast<uint32_t>(x + 0.0f);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

// Floats as integers of the same order (-NaN below everything, +NaN above): integer maxima
// vectorise under strict floating point.
int32_t to_key(float x) noexcept {
  const auto bits = std::bit_cast<int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
float from_key(int32_t key) noexcept {
  return std::bit_cast<float>(key ^ ((key >> 31) & 0x7fffffff));
}

float block_max(const float* x, size_t n) noexcept {
  int32_t best = to_key(kLowest);
  for (size_t i = 0; i < n; ++i) best = std::max(best, to_key(x[i]));
  return from_key(best);
}

// The same where a +NaN was seen: NaN never wins.
float block_max_of_numbers(const float* x, size_t n) noexcept {
  float best = kLowest;
  for (size_t i = 0; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

// sum of e^(x - max), NaN as 0: 16 f32 lanes within a block, which are then added up in double.
double exp_sum(const float* x, size_t n, float max) noexcept {
  double total = 0;
  size_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    float terms[kBlock];
    for (size_t j = 0; j < kBlock; ++j) terms[j] = exp_negative(x[i + j] - max);
    for (size_t width = kBlock / 2; width >= 4; width /= 2) {
      for (size_t j = 0; j < width; ++j) terms[j] += terms[j + width];
    }
    total += static_cast<double>((terms[0] + terms[1]) + (terms[2] + terms[3]));
  }
  for (; i < n; ++i) total += static_cast<double>(exp_negative(x[i] - max));
  return total;
}

double log_sum_exp(const float* x, size_t n, float max) noexcept {
  if (!(max > kLowest && max < std::numeric_limits<float>::infinity())) {
    return static_cast<double>(max);
  }
  return static_cast<double>(max) + portable_log(exp_sum(x, n, max));
}

struct Entry {
  uint32_t rank;
  int32_t id;
};
bool better(const Entry& a, const Entry& b) noexcept {
  return a.rank != b.rank ? a.rank > b.rank : a.id < b.id;
}

}  // namespace

Candidates best_candidates(const float* logits, size_t V, size_t n) {
  Candidates out;
  n = std::min(n, V);
  const size_t blocks = (V + kBlock - 1) / kBlock;
  const auto block_size = [&](size_t b) { return std::min(kBlock, V - b * kBlock); };
  std::vector<float> maxima(blocks);
  for (size_t b = 0; b < blocks; ++b) {
    const float* block = logits + b * kBlock;
    maxima[b] = block_max(block, block_size(b));
    if (maxima[b] != maxima[b]) maxima[b] = block_max_of_numbers(block, block_size(b));
  }
  const float best = maxima.empty() ? kLowest : *std::max_element(maxima.begin(), maxima.end());
  out.logsumexp = log_sum_exp(logits, V, best);
  if (n == 0) return out;

  float bound = kLowest;  // at least n logits reach it
  if (n <= blocks) {
    std::vector<float> order = maxima;
    const auto nth = order.begin() + static_cast<ptrdiff_t>(n - 1);
    std::nth_element(order.begin(), nth, order.end(), std::greater<float>());
    bound = *nth;
  }
  const bool everything = bound == kLowest;  // NaN and -infinity may be among the best n then
  std::vector<Entry> entries;
  entries.reserve(everything ? V : 4 * n);
  for (size_t b = 0; b < blocks; ++b) {
    if (!everything && maxima[b] < bound) continue;
    const size_t end = b * kBlock + block_size(b);
    for (size_t i = b * kBlock; i < end; ++i) {
      if (everything || logits[i] >= bound)
        entries.push_back({rank(logits[i]), static_cast<int32_t>(i)});
    }
  }
  const auto end = entries.begin() + static_cast<ptrdiff_t>(n);
  if (entries.size() > n) std::nth_element(entries.begin(), end - 1, entries.end(), better);
  std::sort(entries.begin(), end, better);
  out.ids.reserve(n);
  out.logits.reserve(n);
  for (auto entry = entries.begin(); entry != end; ++entry) {
    out.ids.push_back(entry->id);
    out.logits.push_back(logits[entry->id]);
  }
  return out;
}

}  // namespace gm
