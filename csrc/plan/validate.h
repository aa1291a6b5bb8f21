// SPDX-License-Identifier: MIT
// The gate between a plan, which anybody can write, and the executor, which believes it. Structure
// (ids, kinds, widths, rows, order, aliasing, head geometry) is checked without a file, weights
// against the tensors that the file has. What passes here cannot fail or leave its buffers later.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace gm {

// Bounds that keep every later product far from overflow; real models are far below them.
inline constexpr uint64_t kMaxPlanItems = 1u << 18;  // operations, buffers, weights, layers
inline constexpr uint64_t kMaxRopes = 64;            // each is a table of the whole context
inline constexpr uint64_t kMaxWidth = 1u << 26;      // values of a row, tokens of a vocabulary
inline constexpr uint64_t kMaxHeads = 1u << 14;
inline constexpr uint64_t kMaxHeadDim = 1u << 12;
inline constexpr uint64_t kMaxExperts = 1u << 12;
// Throws FormatError (ids, order, values out of range) or ShapeError (what does not fit together).
void validate_structure(const Plan& plan);

// What the file has under the name of a weight.
struct TensorFacts {
  bool found = false;
  uint32_t type_id = 0;
  std::vector<uint64_t> shape;  // rows first
};

// facts[i] belongs to plan.weights[i]. Throws ShapeError with every missing or misshaped tensor, or
// UnsupportedError with every tensor of a type that cannot be read as the plan wants to.
void validate_weights(const Plan& plan, std::span<const TensorFacts> facts,
                      const std::string& file);

}  // namespace gm
