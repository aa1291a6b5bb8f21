// SPDX-License-Identifier: MIT
// The kernels at level avx2_vnni.
#define GM_ISA avx2_vnni
#include "simd/avx2_vnni.h"

#define GM_ISA_NAME "avx2_vnni"
#include "kernels/table.inl.h"
