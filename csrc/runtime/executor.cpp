// SPDX-License-Identifier: MIT
// The session's memory is one block: buffers, logits, positions, and each worker's scratch.
#include "runtime/executor.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "runtime/compile.h"

namespace gm {
namespace {

size_t chunks_of(const Step& step, const Batch& batch) noexcept {
  return std::visit([&](const auto& s) { return s.chunks(batch); }, step);
}

void run_chunk(const Step& step, const Batch& batch, size_t chunk, size_t worker) noexcept {
  std::visit([&](const auto& s) { s.run(batch, chunk, worker); }, step);
}

size_t scratch_bytes(const Model& model, size_t batch_rows) {
  const KernelTable& kernels = model.kernels();
  size_t bytes = kernels.linear_scratch_bytes(batch_rows);
  for (const Op& op : model.plan().ops) {
    const auto* attention = std::get_if<AttentionOp>(&op);
    if (attention == nullptr) continue;
    const KvSpec& kv = model.plan().layers[attention->layer];
    bytes =
        std::max(bytes, kernels.attention_scratch_bytes(attention->heads, kv.heads, kv.head_dim));
  }
  return align_up(bytes);
}

size_t widest_row(const Plan& plan) noexcept {
  size_t width = 0;
  for (const BufferSpec& buffer : plan.buffers) width = std::max<size_t>(width, buffer.width);
  return align_up(width, kBufferAlign / sizeof(float));
}

// Cuts one allocation into pieces at cache line boundaries.
class Sizes {
 public:
  size_t add(uint64_t count, uint64_t bytes_each) {
    const uint64_t start = total_;
    uint64_t bytes = 0;
    if (!checked_mul(count, bytes_each, &bytes) || !checked_align(bytes, kBufferAlign, &bytes) ||
        !checked_add(total_, bytes, &total_)) {
      throw ResourceError("[session] The buffers of a batch must fit into memory. Got " +
                          std::to_string(count) + " times " + std::to_string(bytes_each) +
                          " bytes. Ask for a smaller batch.");
    }
    return start;
  }
  size_t total() const noexcept { return total_; }

 private:
  uint64_t total_ = 0;
};

}  // namespace

Executor::Executor(Model& model, const KvCache& cache, const RopeTables& ropes, size_t batch_rows,
                   size_t logits_rows)
    : model_(model) {
  const Plan& plan = model.plan();
  const ArenaLayout layout = layout_arena(plan, model.weights(), batch_rows, logits_rows);
  const size_t threads = model.pool().size();
  batch_.kernels = &model.kernels();
  batch_.threads = threads;
  batch_.scratch_stride = scratch_bytes(model, batch_rows);
  batch_.rows_stride = widest_row(plan);

  Sizes sizes;
  const size_t arena = sizes.add(layout.bytes, 1);
  const size_t logits = sizes.add(logits_rows, plan.vocab_size * sizeof(float));
  const size_t positions = sizes.add(batch_rows, sizeof(int32_t));
  const size_t scratch = sizes.add(threads, batch_.scratch_stride);
  const size_t rows = sizes.add(threads, batch_.rows_stride * sizeof(float));
  memory_ = AlignedBuffer(sizes.total(), "the buffers of a session");

  uint8_t* base = memory_.data();
  logits_ = reinterpret_cast<float*>(base + logits);
  positions_ = reinterpret_cast<int32_t*>(base + positions);
  batch_.scratch = base + scratch;
  batch_.rows = reinterpret_cast<float*>(base + rows);
  batch_.positions = positions_;
  steps_ = compile_steps({plan, model.weights(), cache, ropes, layout, base + arena, logits_});
}

void Executor::run(const int32_t* tokens, size_t T, size_t position, size_t logits_rows) noexcept {
  batch_.tokens = tokens;
  batch_.T = T;
  batch_.logits_rows = logits_rows;
  for (size_t t = 0; t < T; ++t) positions_[t] = static_cast<int32_t>(position + t);
  current_ = std::numeric_limits<size_t>::max();  // advance() starts at 0
  advance(0);
  if (current_ == steps_.size()) return;
  model_.pool().run(
      [](void* self, size_t worker) noexcept { static_cast<Executor*>(self)->work(worker); }, this);
}

// Runs the steps that are not worth cutting, then opens the next that is.
void Executor::advance(size_t worker) noexcept {
  for (++current_; current_ < steps_.size(); ++current_) {
    const Step& step = steps_[current_];
    const size_t chunks = chunks_of(step, batch_);
    if (chunks > 1 && batch_.threads > 1) {
      chunks_ = static_cast<uint32_t>(chunks);
      return gate_.open(chunks_);
    }
    for (size_t chunk = 0; chunk < chunks; ++chunk) run_chunk(step, batch_, chunk, worker);
  }
  gate_.close();
}

void Executor::work(size_t worker) noexcept {
  for (uint32_t chunk, phase;;) {
    switch (gate_.take(&chunk, &phase)) {
      case StepGate::Turn::Chunk:
        run_chunk(steps_[current_], batch_, chunk, worker);
        if (gate_.finish(chunks_)) advance(worker);
        break;
      case StepGate::Turn::Wait:
        model_.pool().wait_while(gate_.phase(), phase);
        break;
      case StepGate::Turn::End:
        return;
    }
  }
}

}  // namespace gm
