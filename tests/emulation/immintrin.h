// SPDX-License-Identifier: MIT
// Found before the compiler's header of this name (GM_EMULATE_X86): the intrinsics up to AVX2 are
// the compiler's, AVX-VNNI, AVX-512 and AMX are plain C++, so that the kernels of every x86-64
// level run, and can be checked bit for bit, on any CPU with AVX2. Only what the kernels use.
#pragma once

#define _IMMINTRIN_H_INCLUDED  // GCC's parts want to be included by the whole
// clang-format off: each needs those above it
#include <x86gprintrin.h>
#include <mmintrin.h>
#include <xmmintrin.h>
#include <emmintrin.h>
#include <pmmintrin.h>
#include <smmintrin.h>
#include <tmmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
// clang-format on
#include <f16cintrin.h>
#include <fmaintrin.h>
#include "avx512.h"
//
#include "amx.h"
