// SPDX-License-Identifier: MIT
// The best n of a row of logits and its logsumexp, without sorting the vocabulary: vocabulary-sized
// work stays in C++, sampling works on a handful of candidates. The result depends on the logits
// alone: ties go to the lower id, NaN counts as -infinity.
#pragma once

#include <cstddef>
#include <cstdint>
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
};

struct Candidates {
  std::vector<int32_t> ids;   // logits descending
  std::vector<float> logits;  // as computed, NaN included (last)
  double logsumexp = 0;       // of the whole row
};

// min(n, V) candidates.
Candidates best_candidates(const KernelTable& kernels, const LogitRow& row, size_t n);

}  // namespace gm
