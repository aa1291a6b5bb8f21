// SPDX-License-Identifier: MIT
// The best n of a row of logits and its logsumexp, without sorting the vocabulary: vocabulary-sized
// work stays in C++, sampling works on a handful of candidates. The result depends on the logits
// alone: ties go to the lower id, NaN counts as -infinity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gm {

struct Candidates {
  std::vector<int32_t> ids;   // logits descending
  std::vector<float> logits;  // as computed, NaN included (last)
  double logsumexp = 0;       // of the whole row
};

// logits [V] f32; min(n, V) candidates.
Candidates best_candidates(const float* logits, size_t V, size_t n);

}  // namespace gm
