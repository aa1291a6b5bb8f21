// SPDX-License-Identifier: MIT
// What the checks of operations share: operands that are what the operation takes them for.
#pragma once

#include <string>

#include "plan/plan_check.h"

namespace gm {

class OperandCheck : public PlanCheck {
 public:
  using PlanCheck::bounded;
  using PlanCheck::format;
  using PlanCheck::positive;
  using PlanCheck::shape;
  using PlanCheck::weight;

  static std::string text(uint64_t value) { return std::to_string(value); }

  void softcap(double value) const {
    if (value != 0) positive(value, 1e6, "A soft cap");
  }
  const BufferSpec& buffer(BufferId id, BufferKind kind, BufferRows rows) const {
    const BufferSpec& b = plan_.buffers[id];
    format(b.kind == kind, "Buffer " + text(id) + " is of the wrong kind, expected " +
                               (kind == BufferKind::F32 ? "f32." : "activations."));
    shape(b.rows == rows, "Buffer " + text(id) + " has the wrong rows, expected " +
                              (rows == BufferRows::Batch ? "batch rows." : "logits rows."));
    return b;
  }
  uint64_t f32(BufferId id, BufferRows rows) const {
    return buffer(id, BufferKind::F32, rows).width;
  }
  uint64_t act(BufferId id, BufferRows rows) const {
    return buffer(id, BufferKind::Act, rows).width;
  }
  BufferRows rows_of(BufferId id) const { return plan_.buffers[id].rows; }
  void same(uint64_t got, uint64_t expected, const std::string& what) const {
    shape(got == expected,
          what + " does not fit. Got " + text(got) + ", expected " + text(expected) + ".");
  }

 protected:
  using PlanCheck::PlanCheck;
};

}  // namespace gm
