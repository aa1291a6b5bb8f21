// SPDX-License-Identifier: MIT
// A step of the forward pass took the maximum of every block of 128 logits and its exponentials'
// sum. The n-th best of the maxima of 3n groups of blocks is a lower bound of the n-th best logit
// (n groups hold a value at least as good) that few others reach, so only blocks that reach it are
// looked at again: for n = 40 of 128k that is about 50 blocks, not 1000.
#include "runtime/candidates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
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

// Every logit that reaches the bound. With none, NaN and -infinity may be among the best too, but
// not of a sparse row, whose empty blocks are most of it.
std::vector<Entry> entries_from(const LogitRow& row, float bound) {
  if (row.sparse) bound = std::max(bound, std::numeric_limits<float>::lowest());
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

// The best n of the entries, in order.
void sort_best(std::vector<Entry>* entries, size_t n) {
  const auto end = entries->begin() + static_cast<ptrdiff_t>(n);
  if (entries->size() > n) std::nth_element(entries->begin(), end - 1, entries->end(), better);
  std::sort(entries->begin(), end, better);
  entries->resize(n);
}

// The maximum of a block without its edited tokens. NaN is below everything.
float best_of_block(const LogitRow& row, size_t block, std::span<const LogitEdit> edits) {
  constexpr size_t kLanes = 8;  // independent maxima: one chain would wait for itself
  std::array<float, kLogitBlock> values;
  const size_t first = block * kLogitBlock, count = std::min(row.V - first, kLogitBlock);
  values.fill(kLowest);
  std::copy_n(row.logits + first, count, values.begin());
  for (const LogitEdit& edit : edits) values[static_cast<size_t>(edit.id) - first] = kLowest;
  std::array<float, kLanes> best;
  best.fill(kLowest);
  for (size_t i = 0; i < kLogitBlock; i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane)
      best[lane] = values[i + lane] > best[lane] ? values[i + lane] : best[lane];
  return *std::max_element(best.begin(), best.end());
}

// The maxima of all blocks without the edited tokens.
std::vector<float> best_without(const LogitRow& row, std::span<const LogitEdit> edits) {
  std::vector<float> best(row.best, row.best + logit_blocks(row.V));
  for (size_t i = 0; i < edits.size();) {
    const size_t block = static_cast<size_t>(edits[i].id) / kLogitBlock, begin = i;
    while (i < edits.size() && static_cast<size_t>(edits[i].id) / kLogitBlock == block) ++i;
    best[block] = best_of_block(row, block, edits.subspan(begin, i - begin));
  }
  return best;
}

bool is_edited(std::span<const LogitEdit> edits, int32_t id) {
  const auto at = std::lower_bound(edits.begin(), edits.end(), id,
                                   [](const LogitEdit& edit, int32_t x) { return edit.id < x; });
  return at != edits.end() && at->id == id;
}

// The best n of the tokens that are not edited, or all of them if they are fewer.
std::vector<Entry> best_unedited(const LogitRow& row, size_t n, std::span<const LogitEdit> edits) {
  n = std::min(n, row.V - edits.size());
  if (n == 0) return {};
  const std::vector<float> best = best_without(row, edits);
  const LogitRow rest{row.logits, row.V, best.data(), nullptr, row.sparse};
  std::vector<Entry> entries = entries_from(rest, lower_bound_of_nth(rest, n));
  std::erase_if(entries, [&](const Entry& entry) { return is_edited(edits, entry.id); });
  sort_best(&entries, std::min(n, entries.size()));
  return entries;
}

// 0 for NaN, too.
double exp_or_zero(double x) noexcept { return x >= -700 ? portable_exp(x) : 0.0; }

double log_sum_exp(const std::vector<double>& logits) noexcept {
  double top = kLowest, sum = 0;
  for (const double x : logits) top = x > top ? x : top;
  if (!std::isfinite(top)) return top;
  for (const double x : logits) sum += exp_or_zero(x - top);
  return top + portable_log(sum);
}

// The mass of the edited tokens is subtracted and added again, unless they hold so much of it that
// digits would cancel: then it is summed over the row.
double edited_log_sum_exp(const LogitRow& row, std::span<const LogitEdit> edits, double mass) {
  std::vector<double> logits;
  double left = 1.0;
  for (const LogitEdit& edit : edits) {
    left -= exp_or_zero(static_cast<double>(row.logits[edit.id]) - mass);
    logits.push_back(edit.logit);
  }
  if (left > 0.1) {  // loses one digit of sixteen at most
    logits.push_back(mass + portable_log(left));
  } else {
    logits.assign(row.logits, row.logits + row.V);
    for (const LogitEdit& edit : edits) logits[static_cast<size_t>(edit.id)] = edit.logit;
  }
  return log_sum_exp(logits);
}

// Of the finite logits: what is banned is no part of the distribution.
double deviation(const LogitRow& row, std::span<const LogitEdit> edits) {
  std::vector<float> rest(row.logits, row.logits + row.V);
  std::vector<double> edited;
  for (const LogitEdit& edit : edits) {
    rest[static_cast<size_t>(edit.id)] = kLowest;
    edited.push_back(edit.logit);
  }
  double sum = 0, squares = 0, count = 0;
  const auto add = [&](double x, double mean) {
    if (!std::isfinite(x)) return;
    sum += x - mean;
    squares += (x - mean) * (x - mean);
    count += 1;
  };
  double mean = 0;
  for (int pass = 0; pass < 2; ++pass) {  // the squares around zero would cancel
    if (count > 0) mean = sum / count;
    sum = squares = count = 0;
    for (const float x : rest) add(static_cast<double>(x), mean);
    for (const double x : edited) add(x, mean);
  }
  return count > 0 ? std::sqrt(squares / count) : 0.0;
}

}  // namespace

Candidates best_candidates(const KernelTable& kernels, const LogitRow& row, size_t n) {
  Candidates out;
  n = std::min(n, row.V);
  out.logsumexp = log_sum_exp(kernels, row);
  if (n == 0) return out;

  std::vector<Entry> entries = entries_from(row, lower_bound_of_nth(row, n));
  sort_best(&entries, n);
  out.ids.reserve(n);
  out.logits.reserve(n);
  for (const Entry& entry : entries) {
    out.ids.push_back(entry.id);
    out.logits.push_back(row.logits[entry.id]);
  }
  return out;
}

EditedCandidates best_edited_candidates(const KernelTable& kernels, const LogitRow& row, size_t n,
                                        std::span<const LogitEdit> edits, RowSums sums) {
  EditedCandidates out;
  n = std::min(n, row.V);
  out.logsumexp = log_sum_exp(kernels, row);
  out.edited_logsumexp = std::numeric_limits<double>::quiet_NaN();
  out.deviation = sums.deviation ? deviation(row, edits) : std::numeric_limits<double>::quiet_NaN();
  if (sums.mass && std::isfinite(out.logsumexp))
    out.edited_logsumexp = edited_log_sum_exp(row, edits, out.logsumexp);

  std::vector<LogitEdit> edited(edits.begin(), edits.end());
  std::stable_sort(edited.begin(), edited.end(),
                   [](const LogitEdit& a, const LogitEdit& b) { return a.logit > b.logit; });
  if (row.sparse) std::erase_if(edited, [](const LogitEdit& x) { return x.logit == kLowest; });
  const std::vector<Entry> rest = best_unedited(row, n, edits);
  n = std::min(n, edited.size() + rest.size());
  out.ids.reserve(n);
  out.logits.reserve(n);
  out.raw.reserve(n);
  size_t e = 0;  // the two sorted lists are merged
  size_t r = 0;
  while (out.ids.size() < n) {
    const int32_t id = r < rest.size() ? rest[r].id : -1;
    const double logit = id < 0 ? kLowest : static_cast<double>(row.logits[id]);
    const bool take =
        e < edited.size() && (id < 0 || edited[e].logit > logit || std::isnan(logit) ||
                              (edited[e].logit == logit && edited[e].id < id));
    out.ids.push_back(take ? edited[e].id : id);
    out.logits.push_back(take ? edited[e].logit : logit);
    out.raw.push_back(row.logits[out.ids.back()]);
    ++(take ? e : r);
  }
  return out;
}

LogitRow MaskedRow::apply(const KernelTable& kernels, const LogitRow& row,
                          std::span<const uint32_t> mask) {
  constexpr size_t kBits = 32;
  logits_.assign(row.V, kLowest);
  best_.resize(logit_blocks(row.V));
  sum_.resize(logit_blocks(row.V));
  for (size_t first = 0; first < row.V; first += kBits) {
    const size_t count = std::min(kBits, row.V - first);
    uint32_t word = mask[first / kBits];
    if (word == ~uint32_t{0}) {
      std::copy_n(row.logits + first, count, logits_.begin() + static_cast<ptrdiff_t>(first));
      continue;
    }
    for (; word != 0; word &= word - 1) {
      const auto bit = static_cast<size_t>(std::countr_zero(word));
      if (bit < count) logits_[first + bit] = row.logits[first + bit];
    }
  }
  kernels.logit_blocks(logits_.data(), row.V, best_.data(), sum_.data());
  return {logits_.data(), row.V, best_.data(), sum_.data(), true};
}

}  // namespace gm
