// SPDX-License-Identifier: MIT
// Weights to blocks with the least weighted squared error that the searches find
// (kernels/fit_blocks.inl.h): what quantized files are made with. The same bits for any number of
// threads and at every level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"

namespace gm {

struct QuantizeJob {
  Format format;         // one with KernelTable::fit
  const float* values;   // [rows, K] finite
  size_t rows, K;        // K is a multiple of the block
  const float* weights;  // [K] of the columns, at least 0 and finite; null: all alike
};

// out: [rows, K / block_values] blocks.
void quantize_rows(const KernelTable& kernels, ThreadPool& pool, const QuantizeJob& job,
                   uint8_t* out);

// The same, but the parts of the blocks instead of their bytes: parts [rows, K / block_values].
void fit_rows(const KernelTable& kernels, ThreadPool& pool, const QuantizeJob& job,
              BlockParts* parts);

}  // namespace gm
