// SPDX-License-Identifier: MIT
// The kernels at level scalar.
#define GM_ISA scalar
#include "simd/scalar.h"

#define GM_ISA_NAME "scalar"
#include "kernels/table.inl.h"
