// SPDX-License-Identifier: MIT
// The kernels at level avx512.
#define GM_ISA avx512
#include "simd/avx512.h"

#define GM_ISA_NAME "avx512"
#include "kernels/table.inl.h"
