// SPDX-License-Identifier: MIT
// Runs a plan for a batch of tokens: a flat array of steps, compiled once per session against its
// memory. Workers take chunks of the open step (base/step_gate.h); the one that finishes the last
// chunk runs the steps that are too small to cut and opens the next. A layer in decode has five
// steps that are cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/step_gate.h"
#include "base/thread_pool.h"
#include "runtime/kv_cache.h"
#include "runtime/model.h"
#include "runtime/steps.h"

namespace gm {

class Executor {
 public:
  // batch_rows and logits_rows are the largest that run() will see. Throws ResourceError. The
  // model, the cache and the tables must outlive the executor.
  Executor(Model& model, const KvCache& cache, const RopeTables& ropes, size_t batch_rows,
           size_t logits_rows);

  // Appends T tokens at `position`; logits of the last `logits_rows`. The caller holds the pool and
  // has checked everything. noexcept, allocates nothing.
  void run(const int32_t* tokens, size_t T, size_t position, size_t logits_rows) noexcept;

  const float* logits() const noexcept { return logits_; }  // [logits_rows, V]
  size_t bytes() const noexcept { return memory_.size(); }

 private:
  void advance(size_t worker) noexcept;
  void work(size_t worker) noexcept;

  Model& model_;
  AlignedBuffer memory_;
  int32_t* positions_ = nullptr;  // [batch_rows]
  float* logits_ = nullptr;       // [logits_rows, V]
  std::vector<Step> steps_;
  Batch batch_;

  // Written by the thread that opens a step, read by those that hold a chunk of it.
  size_t current_ = 0;   // the open step; steps_.size(): the end
  uint32_t chunks_ = 0;  // of it
  StepGate gate_;
};

}  // namespace gm
