// SPDX-License-Identifier: MIT
// The steps of operations that keep a state of the sequence. Tokens of a batch are independent
// while the state is only read; what writes it is a step of its own, or is cut by parts of the
// state.
#pragma once

#include <cstddef>

#include "runtime/batch.h"

namespace gm {

struct ShortConvStep {
  ShortConvArgs args;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

// Keeps the last rows of a batch for the next one.
struct ShortConvKeepStep {
  ShortConvArgs args;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct DeltaPrepareStep {
  DeltaRuleArgs args;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

// Cut by blocks of columns of the heads' matrices.
struct DeltaRuleStep {
  DeltaRuleArgs args;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct SplitHeadsStep {
  const float* x;  // [T, x_stride]: first and second half of each head in turn
  size_t x_stride;
  float* first;
  size_t first_stride;
  float* second;
  size_t second_stride;
  size_t heads, half;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

}  // namespace gm
