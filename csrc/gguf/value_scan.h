// SPDX-License-Identifier: MIT
// Looks at every value of a tensor, through the reference decoder of its format: a scale that is
// damaged shows as NaN, infinity, or as values that are far from all others. It streams: a piece
// per thread is in memory, and the pages of the file are let go as it proceeds.
#pragma once

#include <cstdint>
#include <functional>

#include "base/thread_pool.h"
#include "gguf/file.h"

namespace gm::gguf {

struct ValueScan {
  bool scanned = false;  // the type has a decoder
  uint64_t nans = 0, infinities = 0;
  uint64_t first_bad = 0;  // index of the first that is not finite
  float largest = 0;       // magnitude of finite values, and where
  uint64_t largest_at = 0;
  // The median over pieces of some thousand values of their largest magnitudes.
  float typical = 0;
};

// Called by the calling thread with the bytes done; what it throws ends the scan.
using ScanProgress = std::function<void(uint64_t bytes)>;

// Throws ResourceError if the file cannot be read to the end. The caller owns the pool.
ValueScan scan_values(const File& file, const TensorInfo& tensor, ThreadPool& pool,
                      const ScanProgress& progress);

}  // namespace gm::gguf
