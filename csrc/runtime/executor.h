// SPDX-License-Identifier: MIT
// Runs a plan for a batch of tokens: a flat array of steps, compiled once per session against its
// memory. Workers take chunks of the open step (base/step_gate.h); the one that finishes the last
// chunk runs the steps that are too small to cut and opens the next. A layer in decode has five
// steps that are cut.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/step_gate.h"
#include "base/thread_pool.h"
#include "runtime/arena.h"
#include "runtime/candidates.h"
#include "runtime/kv_cache.h"
#include "runtime/model.h"
#include "runtime/recurrent_state.h"
#include "runtime/steps.h"
#include "runtime/taps.h"

namespace gm {

// Where everything lies in the one block of a session's executor, in bytes from its start; the
// arena comes first.
struct ExecutorLayout {
  ArenaLayout arena;
  size_t logits = 0;                     // [logits_rows, V] f32, V of the plan's output
  size_t block_best = 0, block_sum = 0;  // [logit_blocks(V)] f32
  size_t positions = 0;                  // [batch_rows] i32
  size_t parts = 0;                      // results of single chunks of attention
  size_t part_chunks = 0;
  size_t scratch = 0;  // [threads] of scratch_stride bytes
  size_t scratch_stride = 0;
  size_t rows = 0;  // [threads] of rows_stride floats
  size_t rows_stride = 0;
  size_t bytes = 0;  // of the block

  size_t activation_bytes() const noexcept { return logits; }
  size_t logits_bytes() const noexcept { return positions - logits; }
  size_t scratch_bytes() const noexcept { return bytes - positions; }
};

// The largest that an executor will see.
struct ExecutorLimits {
  size_t threads, batch_rows, logits_rows, context;
  KvType kv;
  bool taps = false;
};

// From shapes alone. Throws ResourceError if it is too large.
ExecutorLayout layout_executor(const Plan& plan, const WeightLayout& weights,
                               const KernelTable& kernels, const ExecutorLimits& limits);

class Executor {
 public:
  // Throws ResourceError. The model, the cache, the states and the tables must outlive the
  // executor.
  Executor(Model& model, const KvCache& cache, const RecurrentState& states,
           const RopeTables& ropes, const ExecutorLimits& limits);

  // Appends T tokens at `position`; logits of the last `logits_rows`. The caller holds the pool and
  // has checked everything. noexcept, allocates nothing.
  // `types` [T] or null: all 0.
  void run(const int32_t* tokens, const int32_t* types, size_t T, size_t position,
           size_t logits_rows) noexcept;

  const float* logits() const noexcept { return logits_; }  // [logits_rows, V]
  const LogitRow& last_row() const noexcept { return last_row_; }
  const ExecutorLayout& layout() const noexcept { return layout_; }
  const Taps* taps() const noexcept { return taps_.get(); }  // null unless asked for
  size_t last_rows(BufferRows which) const noexcept { return batch_.count(which); }

 private:
  void advance(size_t step, size_t worker) noexcept;
  void work(size_t worker) noexcept;
  void fetch_ahead(size_t worker, uint32_t phase) const noexcept;

  Model& model_;
  ExecutorLayout layout_;
  AlignedBuffer memory_;
  int32_t* positions_ = nullptr;  // [batch_rows]
  float* logits_ = nullptr;       // [logits_rows, V]
  LogitRow last_row_;
  std::unique_ptr<const Taps> taps_;
  std::vector<Step> steps_;
  Batch batch_;

  // Written by the thread that opens a step, read by those that hold a chunk of it.
  std::atomic<size_t> current_ = 0;  // the open step; steps_.size(): the end
  uint32_t chunks_ = 0;              // of it
  StepGate gate_;
};

}  // namespace gm
