// SPDX-License-Identifier: MIT
// The kernels at level neon_i8mm.
#define GM_ISA neon_i8mm
#define GM_PAIR_PRODUCTS
#include "simd/neon_i8mm.h"

#define GM_ISA_NAME "neon_i8mm"
#include "kernels/table.inl.h"
