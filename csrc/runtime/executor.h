// SPDX-License-Identifier: MIT
// Runs a plan for a batch of tokens: a flat array of steps, compiled once per session against its
// memory. All workers walk through the array together; between two steps that are cut into chunks
// lies one barrier, and what is too small to cut is run inside it by the last thread to arrive.
// A layer in decode takes five barriers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
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

  // Written by the thread that opens a barrier, read by all after it.
  size_t current_ = 0;  // step that is being worked on; steps_.size(): the end
  size_t chunks_ = 0;   // of it
  alignas(64) std::atomic<size_t> next_{0};
};

}  // namespace gm
