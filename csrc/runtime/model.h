// SPDX-License-Identifier: MIT
// A validated plan, its weights in memory and the threads that run it: immutable, shared by all
// sessions. Sessions on different Python threads are safe; they take turns on the one pool.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/thread_pool.h"
#include "gguf/file.h"
#include "kernels/kernel_table.h"
#include "plan/plan.h"
#include "runtime/rope_table.h"
#include "runtime/weights.h"

namespace gm {

struct ModelOptions {
  size_t threads = 0;  // 0: default_threads()
  std::string isa;     // empty: default_kernels()
  Progress progress;   // may be empty
  std::string cache;   // folder of the panel cache; empty: none
};

class Model {
 public:
  // Throws FormatError, ShapeError, UnsupportedError, ResourceError, and what progress throws.
  Model(std::shared_ptr<const gguf::File> file, Plan plan, const ModelOptions& options);

  const Plan& plan() const noexcept { return plan_; }
  const Weights& weights() const noexcept { return *weights_; }
  const KernelTable& kernels() const noexcept { return kernels_; }
  ThreadPool& pool() noexcept { return *pool_; }
  std::mutex& pool_mutex() noexcept { return pool_mutex_; }

  // Tables of at least `context` positions: those that were kept, if they are large enough.
  std::shared_ptr<const RopeTables> rope_tables(size_t context) const;
  // For the next session; once this one has all its memory, so that a failed one leaves nothing.
  void keep(std::shared_ptr<const RopeTables> tables) noexcept;

 private:
  Plan plan_;
  const KernelTable& kernels_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Weights> weights_;
  std::mutex pool_mutex_;
  mutable std::mutex rope_mutex_;
  std::shared_ptr<const RopeTables> rope_tables_;
};

}  // namespace gm
