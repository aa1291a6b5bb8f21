// SPDX-License-Identifier: MIT
// The kernels at level neon.
#define GM_ISA neon
#include "simd/neon.h"

#define GM_ISA_NAME "neon"
#include "kernels/table.inl.h"
