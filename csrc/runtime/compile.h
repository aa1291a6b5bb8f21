// SPDX-License-Identifier: MIT
// Turns validated operations into steps: buffer ids become pointers, weights become panels. Nothing
// here can fail, validation has seen to that.
#pragma once

#include <vector>

#include "runtime/arena.h"
#include "runtime/kv_cache.h"
#include "runtime/recurrent_state.h"
#include "runtime/rope_table.h"
#include "runtime/steps.h"
#include "runtime/taps.h"
#include "runtime/weights.h"

namespace gm {

struct CompileInput {
  const Plan& plan;
  const Weights& weights;
  const KvCache& cache;
  const RecurrentState& states;
  const RopeTables& ropes;
  const ArenaLayout& layout;
  uint8_t* arena;
  float* logits;      // [rows, V]
  float* block_best;  // [blocks of kLogitBlock], of the last row
  float* block_sum;
  const Taps* taps;  // or null
};

std::vector<Step> compile_steps(const CompileInput& input);

}  // namespace gm
