// SPDX-License-Identifier: MIT
// A step of the forward pass took the maximum of every block of 128 logits and its exponentials'
// sum. The n-th best of the maxima of 3n groups of blocks is a lower bound of the n-th best logit
// (n groups hold a value at least as good) that few others reach, so only blocks that reach it are
// looked at again: for n = 40 of 128k that is about 50 blocks, not 1000.
#include "runtime/candidates.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "runtime/portable_math.h"

namespace gm {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// An order on bits: greater is better, NaN is last, -0 equals +0.
uint32_t rank(float x) noexcept {
  if (x != x) return 0;
  const auto bits = std::bit_cast<uint32_t>(x + 0.0f);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

struct Entry {
  uint32_t rank;
  int32_t id;
};
bool better(const Entry& a, const Entry& b) noexcept {
  return a.rank != b.rank ? a.rank > b.rank : a.id < b.id;
}

double log_sum_exp(const KernelTable& kernels, const LogitRow& row) noexcept {
  const size_t blocks = logit_blocks(row.V);
  const float top = blocks == 0 ? kLowest : *std::max_element(row.best, row.best + blocks);
  if (!(top > kLowest && top < std::numeric_limits<float>::infinity()))
    return static_cast<double>(top);
  const double mass = kernels.logit_mass(row.best, row.sum, blocks, top);
  return static_cast<double>(top) + portable_log(mass);
}

// A value that at least n logits reach; -infinity where the maxima do not tell.
float lower_bound_of_nth(const LogitRow& row, size_t n) {
  const size_t blocks = logit_blocks(row.V);
  if (n > blocks) return kLowest;
  const size_t group = std::max<size_t>(1, blocks / (3 * n));
  std::vector<float> best;
  best.reserve(blocks / group + 1);
  for (size_t b = 0; b < blocks; b += group)
    best.push_back(*std::max_element(row.best + b, row.best + std::min(b + group, blocks)));
  const auto nth = best.begin() + static_cast<ptrdiff_t>(n - 1);
  std::nth_element(best.begin(), nth, best.end(), std::greater<float>());
  return *nth;
}

// Every logit that reaches the bound. With none, NaN and -infinity may be among the best too.
std::vector<Entry> entries_from(const LogitRow& row, float bound) {
  const bool everything = bound == kLowest;
  std::vector<Entry> entries;
  if (everything) entries.reserve(row.V);
  for (size_t b = 0; b < logit_blocks(row.V); ++b) {
    if (!everything && row.best[b] < bound) continue;
    const size_t end = std::min(row.V, (b + 1) * kLogitBlock);
    for (size_t i = b * kLogitBlock; i < end; ++i) {
      if (everything || row.logits[i] >= bound)
        entries.push_back({rank(row.logits[i]), static_cast<int32_t>(i)});
    }
  }
  return entries;
}

}  // namespace

Candidates best_candidates(const KernelTable& kernels, const LogitRow& row, size_t n) {
  Candidates out;
  n = std::min(n, row.V);
  out.logsumexp = log_sum_exp(kernels, row);
  if (n == 0) return out;

  std::vector<Entry> entries = entries_from(row, lower_bound_of_nth(row, n));
  const auto end = entries.begin() + static_cast<ptrdiff_t>(n);
  if (entries.size() > n) std::nth_element(entries.begin(), end - 1, entries.end(), better);
  std::sort(entries.begin(), end, better);
  out.ids.reserve(n);
  out.logits.reserve(n);
  for (auto entry = entries.begin(); entry != end; ++entry) {
    out.ids.push_back(entry->id);
    out.logits.push_back(row.logits[entry->id]);
  }
  return out;
}

}  // namespace gm
