// SPDX-License-Identifier: MIT
// Where each buffer of a plan lies in the memory of a session. Buffers of a slot share one place;
// activations are stored in every kind that their consumers' formats ask for.
#pragma once

#include <cstddef>
#include <vector>

#include "formats/activation.h"
#include "plan/plan.h"
#include "runtime/weight_layout.h"

namespace gm {

struct BufferPlace {
  size_t offset = 0;  // bytes
  size_t stride = 0;  // F32: floats from row to row
  bool wanted[kActKindCount] = {};
  size_t act_offset[kActKindCount] = {};  // Act: bytes, meaningful where wanted
};

struct ArenaLayout {
  std::vector<BufferPlace> buffers;  // by BufferId
  size_t bytes = 0;                  // of all buffers
};

// batch rows and logits rows as the session has them. Throws ResourceError if it is too large.
ArenaLayout layout_arena(const Plan& plan, const WeightLayout& weights, size_t batch_rows,
                         size_t logits_rows);

}  // namespace gm
