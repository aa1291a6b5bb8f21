// SPDX-License-Identifier: MIT
// The inputs of linear operations, kept by sessions that are asked to: what the quantizer measures
// the use of weights by. They are what the kernels multiply: activations after their rounding.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned_buffer.h"
#include "plan/plan.h"

namespace gm {

struct Tap {
  const LinearOp* op;
  size_t K;
  BufferRows rows;
  float* values;  // [rows of the batch, K]
};

class Taps {
 public:
  // One tap per linear operation of the plan, in order, for batches of up to batch_rows tokens.
  // Throws ResourceError. The plan must outlive this.
  Taps(const Plan& plan, size_t batch_rows);

  const std::vector<Tap>& all() const noexcept { return taps_; }

 private:
  std::vector<Tap> taps_;
  AlignedBuffer memory_;
};

}  // namespace gm
