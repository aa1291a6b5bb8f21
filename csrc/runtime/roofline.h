// SPDX-License-Identifier: MIT
// Measures what the machine can do, so that every speed can be given as a fraction of it.
#pragma once

#include <cstddef>

#include "kernels/kernel_table.h"

namespace gm {

// Bytes per second of sequential reads by `threads` threads over `bytes` of memory; the best of
// several passes. Throws ResourceError when memory or threads are refused.
double measure_bandwidth(const KernelTable& kernels, size_t threads, size_t bytes);
// INT8 multiply-accumulates per second of the level's dot product instruction on `threads` threads.
double measure_int8_peak(const KernelTable& kernels, size_t threads);

}  // namespace gm
