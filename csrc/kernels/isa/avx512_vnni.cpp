// SPDX-License-Identifier: MIT
// The kernels at level avx512_vnni.
#define GM_ISA avx512_vnni
#include "simd/avx512_vnni.h"

#define GM_ISA_NAME "avx512_vnni"
#include "kernels/table.inl.h"
