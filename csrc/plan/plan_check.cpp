// SPDX-License-Identifier: MIT
// Widths are bounded here, so that no product of them can overflow later.
#include "plan/plan_check.h"

#include <cmath>

#include "base/error.h"
#include "kernels/kernel_table.h"
#include "plan/validate.h"

namespace gm {
namespace {

std::string text(uint64_t value) { return std::to_string(value); }

}  // namespace

std::string PlanCheck::where() const {
  if (index_ >= plan_.ops.size()) return "[plan] ";
  return "[plan, op " + text(index_) + " " + std::string(op_name(plan_.ops[index_])) + "] ";
}

void PlanCheck::format(bool ok, const std::string& rule) const {
  if (!ok) throw FormatError(where() + rule);
}

void PlanCheck::shape(bool ok, const std::string& rule) const {
  if (!ok) throw ShapeError(where() + rule);
}

void PlanCheck::check_tables() {
  index_ = plan_.ops.size();  // messages name the plan
  bounded(plan_.ops.size(), kMaxPlanItems, "The number of operations");
  bounded(plan_.buffers.size(), kMaxPlanItems, "The number of buffers");
  bounded(plan_.weights.size(), kMaxPlanItems, "The number of weights");
  bounded(plan_.vocab_size, kMaxWidth, "The vocabulary size");
  format(plan_.layers.size() <= kMaxPlanItems, "Too many layers.");
  format(plan_.states.size() <= kMaxPlanItems, "Too many states.");
  format(plan_.ropes.size() <= kMaxRopes, "A plan has at most " + text(kMaxRopes) +
                                              " rope tables. Got " + text(plan_.ropes.size()) +
                                              ".");
  for (const KvSpec& kv : plan_.layers) {
    bounded(kv.heads, kMaxHeads, "The number of KV heads");
    bounded(kv.head_dim, kMaxHeadDim, "The head size");
  }
  for (const BufferSpec& b : plan_.buffers) {
    bounded(b.width, kMaxWidth, "The width of a buffer");
    format(b.slot < plan_.buffers.size(),
           "A slot is below the number of buffers. Got " + text(b.slot) + ".");
  }
  for (const WeightSpec& w : plan_.weights) check_weight(w);
  for (const RopeSpec& rope : plan_.ropes) check_rope(rope);
  index_ = 0;
}

void PlanCheck::bounded(uint64_t value, uint64_t limit, const std::string& what) const {
  format(value >= 1 && value <= limit,
         what + " is 1 to " + text(limit) + ". Got " + text(value) + ".");
}

void PlanCheck::check_weight(const WeightSpec& w) const {
  format(
      w.shape.size() == 1 || w.shape.size() == 2,
      "A weight has one or two dimensions. Got " + text(w.shape.size()) + " for '" + w.name + "'.");
  for (const uint64_t n : w.shape) bounded(n, kMaxWidth, "A dimension of '" + w.name + "'");
  if (w.experts != 1) {
    format(w.experts != 0 && w.shape.size() == 2 && w.of_rows == 0 &&
               w.shape[0] % kPanelRows == 0 && w.shape[0] / kPanelRows % w.experts == 0,
           "Experts have matrices of a multiple of " + text(kPanelRows) + " rows. Got " +
               text(w.shape[0]) + " rows for " + text(w.experts) + " experts in '" + w.name + "'.");
  }
  if (w.of_rows == 0 && w.first_row == 0) return;
  bounded(w.of_rows, kMaxWidth, "The number of rows of '" + w.name + "'");
  format(w.shape.size() == 2 && w.shape[0] <= w.of_rows && w.first_row <= w.of_rows - w.shape[0],
         "A slice lies within its matrix. Got " + text(w.first_row) + " + " + text(w.shape[0]) +
             " of " + text(w.of_rows) + " rows of '" + w.name + "'.");
}

void PlanCheck::check_rope(const RopeSpec& rope) const {
  format(rope.n_rot >= 2 && rope.n_rot % 2 == 0 && rope.n_rot <= kMaxHeadDim,
         "Rotary embeddings rotate pairs. Got " + text(rope.n_rot) +
             " rotated values, expected an even number.");
  format(std::isfinite(rope.freq_base) && rope.freq_base > 1 && rope.freq_base <= 1e15,
         "The rope frequency base is above 1 and at most 1e15. Got " +
             std::to_string(rope.freq_base) + ".");
  positive(rope.scale, 1024, "The rope scale");
  const auto per_pair = [&](uint64_t count) {
    shape(count == rope.n_rot / 2, "Rope factors are one per pair. Got " + text(count) +
                                       ", expected " + text(rope.n_rot / 2) + ".");
  };
  for (const WeightId id : {rope.factors, rope.long_factors})
    if (id != kNone) per_pair(weight(id, 1).shape[0]);
  if (!rope.scales.empty()) per_pair(rope.scales.size());
  for (const double scale : rope.scales) positive(scale, 1024, "A rope scale of a pair");
  positive(rope.magnitude, 1024, "The magnitude of a rope");
  if (rope.query_slope == 0) return;
  positive(rope.query_slope, 1024, "The slope of query scales");
  format(rope.query_length >= 1, "The length of query scales is at least 1. Got 0.");
}

void PlanCheck::positive(double value, double limit, const std::string& what) const {
  format(std::isfinite(value) && value > 0 && value <= limit,
         what + " is above 0 and at most " + text(static_cast<uint64_t>(limit)) + ". Got " +
             std::to_string(value) + ".");
}

const WeightSpec& PlanCheck::weight(WeightId id, size_t dimensions) const {
  format(id < plan_.weights.size(), "Weight " + text(id) + " does not exist.");
  const WeightSpec& w = plan_.weights[id];
  shape(w.shape.size() == dimensions, "'" + w.name + "' has " + text(w.shape.size()) +
                                          " dimensions, expected " + text(dimensions) + ".");
  return w;
}

}  // namespace gm
