// SPDX-License-Identifier: MIT
// A slot is as large as its largest buffer; slots follow each other at cache line boundaries.
#include "runtime/arena.h"

#include <algorithm>
#include <string>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/error.h"

namespace gm {
namespace {

// Rows of a multiple of 4 KiB would put all tokens of a tile into one set of the L1 cache.
size_t row_stride(size_t width) noexcept {
  const size_t stride = align_up(width, 16);
  return stride % 512 == 0 ? stride + 16 : stride;
}

void mark_kinds(const Plan& plan, const WeightLayout& weights, ArenaLayout* layout) {
  const auto want = [&](BufferId act, WeightId weight) {
    const ActKind kind = weights.places[weight].tensor->type.act;
    layout->buffers[act].wanted[static_cast<size_t>(kind)] = true;
  };
  for (const Op& op : plan.ops) {
    if (const auto* logits = std::get_if<LogitsOp>(&op)) want(logits->act, logits->weight);
    if (const auto* linear = std::get_if<LinearOp>(&op)) {
      for (const WeightId weight : linear->weights) want(linear->act, weight);
    }
    if (const auto* experts = std::get_if<ExpertsOp>(&op)) {
      for (const BufferId act : {experts->act, experts->sorted}) {
        want(act, experts->weights[0]);
        want(act, experts->weights[1]);
      }
      want(experts->hidden, experts->weights[2]);
    }
  }
}

// Bytes of a buffer; sets its stride and the places of its kinds relative to its start.
size_t measure(const BufferSpec& spec, size_t rows, BufferPlace* place) {
  uint64_t total = 0;
  bool fits = true;
  const auto append = [&](size_t dwords_per_row) {
    uint64_t bytes = 0;
    const uint64_t start = total;
    fits = fits && checked_mul(rows, dwords_per_row * 4, &bytes) &&
           checked_align(bytes, kBufferAlign, &bytes) && checked_add(total, bytes, &total);
    return start;
  };
  if (spec.kind == BufferKind::F32) {
    place->stride = row_stride(spec.width);
    append(place->stride);
  }
  for (size_t kind = 0; kind < kActKindCount; ++kind) {
    if (!place->wanted[kind]) continue;
    place->act_offset[kind] = append(act_dwords(static_cast<ActKind>(kind), spec.width));
  }
  if (!fits) {
    throw ResourceError("[arena] The buffers of a batch must fit into memory. Got " +
                        std::to_string(rows) + " rows of " + std::to_string(spec.width) +
                        " values. Ask for a smaller batch.");
  }
  return total;
}

}  // namespace

ArenaLayout layout_arena(const Plan& plan, const WeightLayout& weights, size_t batch_rows,
                         size_t logits_rows) {
  ArenaLayout layout;
  layout.buffers.resize(plan.buffers.size());
  mark_kinds(plan, weights, &layout);
  std::vector<uint64_t> slots(plan.buffers.size(), 0);
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const BufferSpec& spec = plan.buffers[i];
    const size_t rows = spec.rows == BufferRows::Batch ? batch_rows : logits_rows;
    const uint64_t bytes = measure(spec, rows, &layout.buffers[i]);
    slots[spec.slot] = std::max(slots[spec.slot], bytes);
  }
  uint64_t total = 0;
  for (uint64_t& slot : slots) {
    const uint64_t bytes = slot;
    slot = total;
    if (!checked_add(total, bytes, &total)) {
      throw ResourceError("[arena] The buffers of a batch must fit into memory.");
    }
  }
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    BufferPlace& place = layout.buffers[i];
    place.offset = slots[plan.buffers[i].slot];
    for (size_t& offset : place.act_offset) offset += place.offset;
  }
  layout.bytes = total;
  return layout;
}

}  // namespace gm
