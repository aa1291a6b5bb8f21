// SPDX-License-Identifier: MIT
// Adds up what the layouts of weights, cache, buffers and tables say.
#include "runtime/memory_plan.h"

#include <algorithm>
#include <utility>

#include "panels/panel.h"
#include "plan/validate.h"
#include "runtime/executor.h"
#include "runtime/kv_cache.h"
#include "runtime/recurrent_state.h"
#include "runtime/rope_table.h"

namespace gm {
namespace {

// A first touch of a mapped file brings in its neighbourhood (Linux: fault_around_bytes), so a
// token costs at most this much of the embeddings.
constexpr uint64_t kFaultBytes = 64 * 1024;

}  // namespace

MemoryPlan::MemoryPlan(std::shared_ptr<const gguf::File> file, Plan plan,
                       const KernelTable& kernels, size_t threads)
    : file_(std::move(file)), plan_(std::move(plan)), kernels_(kernels), threads_(threads) {
  validate_structure(plan_);
  weights_ = layout_weights(plan_, *file_);
}

MemoryBytes MemoryPlan::bytes(const SessionOptions& asked) const {
  const SessionOptions options = checked_options(asked, plan_);
  const ExecutorLayout layout =
      layout_executor(plan_, weights_, kernels_, executor_limits(options, threads_));
  MemoryBytes out;
  out.panels = weights_.panel_bytes;
  out.mapped_rows = std::min<uint64_t>(weights_.mapped_bytes, options.context * kFaultBytes);
  out.vectors = weights_.vector_bytes;
  out.kv_cache = KvCache::bytes_for(plan_, options.kv, options.context);
  out.states = RecurrentState::bytes_for(plan_);
  out.activations = layout.activation_bytes();
  out.logits = layout.logits_bytes();
  out.scratch = layout.scratch_bytes();
  for (const RopeSpec& rope : plan_.ropes)
    out.rope_tables += RopeTable::bytes_for(rope, options.context);
  uint64_t segment = 0;
  for (const WeightPlace& w : weights_.places) {
    if (w.use.panels)
      segment = std::max<uint64_t>(segment, segment_panels(w) * panel_bytes(w.format(), w.K()));
  }
  const uint64_t session =
      out.mapped_rows + out.kv_cache + out.states + layout.bytes + out.rope_tables;
  out.loading = segment - std::min(segment, session);
  return out;
}

}  // namespace gm
