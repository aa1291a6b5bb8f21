// SPDX-License-Identifier: MIT
// The kernels at level amx_int8.
#define GM_ISA amx_int8
#define GM_MATRIX_UNIT
#include "simd/amx_int8.h"

#define GM_ISA_NAME "amx_int8"
#include "kernels/table.inl.h"
