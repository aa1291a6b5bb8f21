// SPDX-License-Identifier: MIT
// The weights as the kernels read them. Linear weights are packed into panels in anonymous memory,
// all threads working through one segment at a time, and the pages of the file are let go segment
// by segment: at no time are two copies of the model in memory. Or they come ready from the panel
// cache, mapped and shared. Rows (embeddings) stay in the file's map; vectors (norms, rope factors)
// become f32.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "gguf/file.h"
#include "plan/plan.h"
#include "runtime/cached_panels.h"
#include "runtime/weight_layout.h"

namespace gm {

struct Weight {
  Format format = Format::F32;
  size_t rows = 0;
  size_t K = 0;
  const uint8_t* panels = nullptr;    // packed, if the plan multiplies by it
  const uint8_t* row_data = nullptr;  // [rows, row_bytes] in the map, if the plan reads rows
  size_t row_bytes = 0;
  const float* values = nullptr;  // [rows, K] f32, if the plan reads a vector
};

// Called by the loading thread after each segment; what it throws ends the load.
using Progress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

class Weights {
 public:
  // cache: the folder of the panel cache, or empty. Throws what layout_weights throws, and
  // ResourceError.
  Weights(const Plan& plan, std::shared_ptr<const gguf::File> file, ThreadPool& pool,
          const Progress& progress, const std::string& cache);

  const Weight& operator[](WeightId id) const noexcept { return weights_[id]; }
  const WeightLayout& layout() const noexcept { return layout_; }
  const CacheOutcome& cache() const noexcept { return cache_; }
  // Whether the file or the cache entry could not be read, at any time; see base/mapped_file.h.
  bool broken() const noexcept;
  void check() const;  // throws ResourceError that names the file
  // The writer of this model's entry after a miss; it reads these weights. Throws ResourceError,
  // also when the file has changed since it was opened.
  std::unique_ptr<PanelCacheWriter> cache_writer() const;

 private:
  enum class Visit : uint8_t { Pack, Compare };

  void load(ThreadPool& pool, const Progress& progress, const std::string& cache);
  void read_vectors();
  bool find_cached(ThreadPool& pool, const Progress& progress);
  bool visit(Visit what, uint8_t* panels, ThreadPool& pool, const Progress& progress);

  std::shared_ptr<const gguf::File> file_;
  WeightLayout layout_;
  std::vector<Weight> weights_;
  AlignedBuffer panels_;                    // or
  std::unique_ptr<PanelCacheEntry> entry_;  // of the cache
  AlignedBuffer vectors_;
  CacheOutcome cache_;
  uint64_t key_ = 0;
};

}  // namespace gm
