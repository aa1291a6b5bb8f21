// SPDX-License-Identifier: MIT
// Level avx512_vnni (Ice Lake, Zen 4 and later): see vnni.h.
#pragma once

#include "simd/vnni.h"

namespace gm::GM_ISA {
namespace {

inline constexpr size_t kMaxTile = 12;
inline constexpr size_t kTokenMajorTile = 0;  // see amx_int8.h
inline constexpr size_t kDirectTokens = 8;    // up to here weights are expanded in registers
inline constexpr int kPanelPair = 2;          // panels that share a broadcast activation in prefill
inline constexpr size_t kAttentionRows = 12;  // 12 x 2 accumulators of 32 registers

}  // namespace
}  // namespace gm::GM_ISA
