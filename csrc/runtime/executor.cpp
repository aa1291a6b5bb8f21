// SPDX-License-Identifier: MIT
// The session's memory is one block: buffers, logits, positions, and each worker's scratch.
#include "runtime/executor.h"

#include <algorithm>
#include <span>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "runtime/compile.h"

namespace gm {
namespace {

constexpr size_t kFetchAheadTokens = 8;
constexpr size_t kFetchAheadBytes = 192 << 10;  // well within the L2 cache of a core
constexpr size_t kFetchBurst = 1024;            // bytes between two looks at the gate

size_t chunks_of(const Step& step, const Batch& batch) noexcept {
  return std::visit([&](const auto& s) { return s.chunks(batch); }, step);
}

void run_chunk(const Step& step, const Batch& batch, size_t chunk, size_t worker) noexcept {
  std::visit([&](const auto& s) { s.run(batch, chunk, worker); }, step);
}

// f(heads, KV geometry) for every attention of the plan.
template <class F>
void for_attention(const Plan& plan, F&& f) {
  for (const Op& op : plan.ops) {
    if (const auto* o = std::get_if<AttentionOp>(&op)) f(o->heads, plan.layers[o->layer]);
  }
}

size_t scratch_bytes(const Plan& plan, const KernelTable& kernels, const ExecutorLimits& limits) {
  size_t bytes = kernels.linear_scratch_bytes(limits.batch_rows);
  for_attention(plan, [&](size_t heads, const KvSpec& kv) {
    bytes =
        std::max(bytes, kernels.attention_scratch_bytes(limits.kv, heads, kv.heads, kv.head_dim));
  });
  return align_up(bytes);
}

// Floats of attention's result of one chunk for one token.
size_t part_floats(const Plan& plan) noexcept {
  size_t most = 0;
  for_attention(plan, [&](size_t heads, const KvSpec& kv) {
    most = std::max(most, heads * attention_part_floats(kv.head_dim));
  });
  return most;
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

ExecutorLayout layout_executor(const Plan& plan, const WeightLayout& weights,
                               const KernelTable& kernels, const ExecutorLimits& limits) {
  ExecutorLayout out;
  out.arena = layout_arena(plan, weights, limits.batch_rows, limits.logits_rows);
  out.scratch_stride = scratch_bytes(plan, kernels, limits);
  out.rows_stride = widest_row(plan);
  Sizes sizes;
  sizes.add(out.arena.bytes, 1);
  const uint64_t V = traits_of(plan).output_width;
  out.logits = sizes.add(limits.logits_rows, V * sizeof(float));
  const size_t blocks = logit_blocks(V);
  out.block_best = sizes.add(blocks, sizeof(float));
  out.block_sum = sizes.add(blocks, sizeof(float));
  out.positions = sizes.add(limits.batch_rows, sizeof(int32_t));
  if (limits.threads > 1)
    out.part_chunks = (limits.context + kChunkPositions - 1) / kChunkPositions;
  out.parts = sizes.add(std::min(limits.batch_rows, kSplitTokens) * out.part_chunks,
                        part_floats(plan) * sizeof(float));
  out.scratch = sizes.add(limits.threads, out.scratch_stride);
  out.rows = sizes.add(limits.threads, out.rows_stride * sizeof(float));
  out.bytes = sizes.total();
  return out;
}

Executor::Executor(Model& model, const KvCache& cache, const RecurrentState& states,
                   const RopeTables& ropes, const ExecutorLimits& limits)
    : model_(model),
      layout_(layout_executor(model.plan(), model.weights().layout(), model.kernels(), limits)),
      memory_(layout_.bytes, "the buffers of a session"),
      gate_(model.pool().size()) {
  uint8_t* base = memory_.data();
  logits_ = reinterpret_cast<float*>(base + layout_.logits);
  positions_ = reinterpret_cast<int32_t*>(base + layout_.positions);
  batch_.kernels = &model.kernels();
  batch_.threads = model.pool().size();
  batch_.scratch = base + layout_.scratch;
  batch_.scratch_stride = layout_.scratch_stride;
  batch_.rows = reinterpret_cast<float*>(base + layout_.rows);
  batch_.rows_stride = layout_.rows_stride;
  batch_.parts = reinterpret_cast<float*>(base + layout_.parts);
  batch_.part_chunks = layout_.part_chunks;
  batch_.positions = positions_;
  auto* block_best = reinterpret_cast<float*>(base + layout_.block_best);
  auto* block_sum = reinterpret_cast<float*>(base + layout_.block_sum);
  last_row_ = {logits_, traits_of(model.plan()).output_width, block_best, block_sum};
  if (limits.taps) taps_ = std::make_unique<const Taps>(model.plan(), limits.batch_rows);
  steps_ = compile_steps({model.plan(), model.weights(), cache, states, ropes, layout_.arena, base,
                          logits_, block_best, block_sum, taps_.get()});
}

void Executor::run(const int32_t* tokens, const int32_t* types, size_t T, size_t position,
                   size_t logits_rows) noexcept {
  batch_.tokens = tokens;
  batch_.types = types;
  batch_.T = T;
  batch_.logits_rows = logits_rows;
  last_row_.logits = logits_ + (logits_rows - 1) * last_row_.V;
  for (size_t t = 0; t < T; ++t) positions_[t] = static_cast<int32_t>(position + t);
  advance(0, 0);
  if (current_ == steps_.size()) return;
  model_.pool().run(
      [](void* self, size_t worker) noexcept { static_cast<Executor*>(self)->work(worker); }, this);
}

// From `step` on: runs the steps that are not worth cutting, then opens the first that is.
void Executor::advance(size_t step, size_t worker) noexcept {
  for (; step < steps_.size(); ++step) {
    current_.store(step, std::memory_order_relaxed);
    const size_t chunks = chunks_of(steps_[step], batch_);
    if (chunks > 1 && batch_.threads > 1) {
      chunks_ = static_cast<uint32_t>(chunks);
      return gate_.open(chunks_);
    }
    for (size_t chunk = 0; chunk < chunks; ++chunk) run_chunk(steps_[step], batch_, chunk, worker);
  }
  current_.store(step, std::memory_order_relaxed);
  gate_.close();
}

void Executor::work(size_t worker) noexcept {
  for (uint32_t chunk, phase;;) {
    switch (gate_.take(worker, &chunk, &phase)) {
      case StepGate::Turn::Chunk: {
        const size_t step = current_.load(std::memory_order_relaxed);
        run_chunk(steps_[step], batch_, chunk, worker);
        if (gate_.finish(chunks_)) advance(step + 1, worker);
        break;
      }
      case StepGate::Turn::Wait:
        fetch_ahead(worker, phase);
        model_.pool().wait_while(gate_.phase(), phase);
        break;
      case StepGate::Turn::End:
        return;
    }
  }
}

// While others end this step or run the small ones after it, the memory would be idle: the worker
// fetches the beginning of its part of the next linear step into its cache.
void Executor::fetch_ahead(size_t worker, uint32_t phase) const noexcept {
  if (batch_.T > kFetchAheadTokens) return;  // compute is the limit, not memory
  for (size_t s = current_.load(std::memory_order_relaxed) + 1; s < steps_.size(); ++s) {
    const auto* linear = std::get_if<LinearStep>(&steps_[s]);
    if (linear == nullptr) continue;
    const auto first = gate_.first(static_cast<uint32_t>(linear->chunks(batch_)), worker);
    const std::span<const uint8_t> weights = linear->weights(batch_, first);
    const size_t bytes = std::min(weights.size(), kFetchAheadBytes);
    for (size_t i = 0; i < bytes; i += kFetchBurst) {
      if (gate_.phase().load(std::memory_order_relaxed) != phase) return;
      for (size_t j = i; j < std::min(i + kFetchBurst, bytes); j += 64)
        __builtin_prefetch(weights.data() + j);
    }
    return;
  }
}

}  // namespace gm
