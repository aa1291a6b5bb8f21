// SPDX-License-Identifier: MIT
// The best n of a row of logits and its logsumexp, without sorting the vocabulary: vocabulary-sized
// work stays in C++, sampling works on a handful of candidates. The result depends on the logits
// alone: ties go to the lower id, NaN counts as -infinity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernel_table.h"

namespace gm {

inline constexpr size_t logit_blocks(size_t V) noexcept {
  return (V + kLogitBlock - 1) / kLogitBlock;
}

// A row of logits, and what KernelTable::logit_blocks made of it.
struct LogitRow {
  const float* logits = nullptr;  // [V]
  size_t V = 0;
  const float* best = nullptr;  // [logit_blocks(V)]
  const float* sum = nullptr;   // [logit_blocks(V)]
  bool sparse = false;          // what is -infinity is no candidate
};

struct Candidates {
  std::vector<int32_t> ids;   // logits descending
  std::vector<float> logits;  // as computed, NaN included (last)
  double logsumexp = 0;       // of the whole row
};

// What of a whole edited row is computed beside the best tokens; NaN otherwise.
struct RowSums {
  bool mass = false;       // where no top-k comes first
  bool deviation = false;  // for top-n-sigma
};

// A token whose logit is replaced.
struct LogitEdit {
  int32_t id;
  double logit;
};

struct EditedCandidates {
  std::vector<int32_t> ids;     // edited logits descending
  std::vector<double> logits;   // edited where there is an edit
  std::vector<float> raw;       // as computed
  double logsumexp = 0;         // of the whole row as computed
  double deviation = 0;         // standard deviation of the finite edited logits, where wanted
  double edited_logsumexp = 0;  // of the whole edited row, where wanted
};

// min(n, V) candidates.
Candidates best_candidates(const KernelTable& kernels, const LogitRow& row, size_t n);

// The same of a row with `edits` (fewer of a sparse row that has no more), whose ids are unique,
// ascending and below V; their logits are no NaN.
EditedCandidates best_edited_candidates(const KernelTable& kernels, const LogitRow& row, size_t n,
                                        std::span<const LogitEdit> edits, RowSums sums);

// A copy of a row in which tokens outside of a set are -infinity. The buffers are kept from call to
// call: they are as long as the row.
class MaskedRow {
 public:
  // `mask` [ceil(V / 32)]: bit i % 32 of word i / 32 says whether token i is allowed.
  LogitRow apply(const KernelTable& kernels, const LogitRow& row, std::span<const uint32_t> mask);

 private:
  std::vector<float> logits_, best_, sum_;
};

}  // namespace gm
