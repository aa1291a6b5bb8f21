// SPDX-License-Identifier: MIT
// The kernels at level neon_dot.
#define GM_ISA neon_dot
#include "simd/neon_dot.h"

#define GM_ISA_NAME "neon_dot"
#include "kernels/table.inl.h"
