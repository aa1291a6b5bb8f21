// SPDX-License-Identifier: MIT
// One linear layer alone, as the executor runs it: for tuning a kernel against the machine's peaks.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/kernel_table.h"

namespace gm {

struct LinearBench {
  Format format = Format::Q4_K;
  size_t rows = 0, K = 0;  // of the weights; K is a multiple of the format's activation block
  size_t T = 1;            // tokens
  size_t threads = 1;
  size_t passes = 10;
};

// Seconds of each pass over the whole matrix. The rows are normal random values, 16 of them
// repeated. Throws ShapeError (K) and ResourceError.
std::vector<double> bench_linear(const KernelTable& kernels, const LinearBench& bench);

}  // namespace gm
