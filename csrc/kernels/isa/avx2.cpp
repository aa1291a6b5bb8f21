// SPDX-License-Identifier: MIT
// The kernels at level avx2.
#define GM_ISA avx2
#include "simd/avx2.h"

#define GM_ISA_NAME "avx2"
#include "kernels/table.inl.h"
