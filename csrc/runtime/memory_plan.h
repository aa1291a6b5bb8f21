// SPDX-License-Identifier: MIT
// What a model and one session of it will take, before a byte of weights is read. Every figure
// comes from the function that loading or the session itself allocates by, so the plan cannot drift
// from the truth.
#pragma once

#include <cstdint>
#include <memory>

#include "gguf/file.h"
#include "kernels/kernel_table.h"
#include "plan/plan.h"
#include "runtime/session.h"
#include "runtime/weight_layout.h"

namespace gm {

// Bytes at most: the KV cache of a context that is not filled, and the rows of tokens that do not
// occur, are mapped but cost nothing.
struct MemoryBytes {
  uint64_t panels = 0;       // packed weights
  uint64_t mapped_rows = 0;  // embeddings, read from the file's map
  uint64_t vectors = 0;      // norm weights
  uint64_t kv_cache = 0;
  uint64_t states = 0;       // recurrent, with their checkpoints
  uint64_t activations = 0;  // buffers of a batch
  uint64_t logits = 0;
  uint64_t scratch = 0;  // of all threads
  uint64_t rope_tables = 0;
  uint64_t loading = 0;  // what the peak of loading takes beyond the session that follows
};

class MemoryPlan {
 public:
  // Throws what Model throws for a plan that does not fit the file.
  MemoryPlan(std::shared_ptr<const gguf::File> file, Plan plan, const KernelTable& kernels,
             size_t threads);

  // Throws what Session throws for these options.
  MemoryBytes bytes(const SessionOptions& options) const;
  uint64_t bytes_per_token() const noexcept { return weights_.bytes_per_token; }

 private:
  std::shared_ptr<const gguf::File> file_;
  Plan plan_;
  const KernelTable& kernels_;
  size_t threads_;
  WeightLayout weights_;
};

}  // namespace gm
