// SPDX-License-Identifier: MIT
// The weights as the kernels read them. Linear weights are packed into panels in anonymous memory,
// all threads working through one segment at a time, and the pages of the file are let go segment
// by segment: at no time are two copies of the model in memory. Rows (embeddings) stay in the
// file's map; vectors (norms, rope factors) become f32.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "gguf/file.h"
#include "plan/plan.h"

namespace gm {

struct Weight {
  Format format = Format::F32;
  size_t rows = 0;
  size_t K = 0;
  const uint8_t* panels = nullptr;    // packed, if the plan multiplies by it
  const uint8_t* row_data = nullptr;  // [rows, row_bytes] in the map, if the plan reads rows
  size_t row_bytes = 0;
  const float* values = nullptr;  // [K] f32, if the plan reads a vector
};

// Called by the loading thread after each segment; what it throws ends the load.
using Progress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

class Weights {
 public:
  // Throws ShapeError, UnsupportedError (validate_weights) and ResourceError.
  Weights(const Plan& plan, std::shared_ptr<const gguf::File> file, ThreadPool& pool,
          const Progress& progress);

  const Weight& operator[](WeightId id) const noexcept { return weights_[id]; }
  uint64_t panel_bytes() const noexcept { return panels_.size(); }
  uint64_t mapped_bytes() const noexcept { return mapped_bytes_; }
  uint64_t vector_bytes() const noexcept { return vectors_.size(); }
  uint64_t bytes_per_token() const noexcept { return bytes_per_token_; }

 private:
  void place(const Plan& plan, const std::vector<WeightUse>& uses);
  void pack(const Plan& plan, ThreadPool& pool, const Progress& progress);

  std::shared_ptr<const gguf::File> file_;
  std::vector<const gguf::TensorInfo*> tensors_;  // by WeightId
  std::vector<Weight> weights_;
  AlignedBuffer panels_;
  AlignedBuffer vectors_;
  uint64_t mapped_bytes_ = 0;
  uint64_t bytes_per_token_ = 0;
};

}  // namespace gm
