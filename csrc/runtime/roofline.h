// SPDX-License-Identifier: MIT
// Measures what the machine can do, so that every speed can be given as a fraction of it.
#pragma once

#include <cstddef>

#include "kernels/kernel_table.h"

namespace gm {

// Bytes per second of sequential reads by `threads` threads over `bytes` of memory; the best of
// several passes. Throws ResourceError when memory or threads are refused.
double measure_bandwidth(const KernelTable& kernels, size_t threads, size_t bytes);
// Multiply-accumulates per second on `threads` threads: INT8 with the best instructions that the
// level has, and f32.
double measure_int8_peak(const KernelTable& kernels, size_t threads);
double measure_float_peak(const KernelTable& kernels, size_t threads);

}  // namespace gm
