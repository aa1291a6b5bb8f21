// SPDX-License-Identifier: MIT
// Activations as the kernels read them. Tokens are cut into tiles; inside a tile the tokens lie
// side by side, so that a kernel walks one pointer and every broadcast is base + constant.
//
// A tile of w tokens over K values is a run of blocks; a block holds, in dwords:
//   F32     (1 value)    x[w] f32
//   Q8_32   (32 values)  q[8][w] (4 int8 each), bias[w] int32 = -128 * sum of the values, d[w] f32,
//                        s[w] f32 = d * sum
//   Q8_256  (256 values) q[64][w], sum32[4][w] (two int16 sums of 32 values each),
//                        sum16[8][w] (two int16 sums of 16 values each), d[w] f32
// d = absmax / 127, q = round-half-even(x * (127 / absmax)), sums are exact. bias undoes the +128
// that turns signed weights into the unsigned operand of u8 x s8 instructions, s multiplies the
// minima. The tile widths depend on the ISA (KernelTable::max_tile), the numbers do not. For
// the matrix unit (level amx_int8) the q of a tile of 16 tokens lie token by token: q[w][8 or 64].
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/format.h"

namespace gm {

inline constexpr size_t kAct32Dwords = 8 + 1 + 1 + 1;
inline constexpr size_t kAct256Dwords = 64 + 4 + 8 + 1;

// Dwords that one token's K values take. K % 32 (or 256) == 0 for the quantized kinds.
static constexpr size_t act_dwords(ActKind kind, size_t K) noexcept {
  switch (kind) {
    case ActKind::Q8_32:
      return K / 32 * kAct32Dwords;
    case ActKind::Q8_256:
      return K / 256 * kAct256Dwords;
    default:
      return K;
  }
}

// The width of the next tile when `left` tokens remain: max_tile (12, 8 or 4), then powers of two.
static constexpr size_t tile_width(size_t left, size_t max_tile) noexcept {
  if (left >= max_tile) return max_tile;
  return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : left;
}

}  // namespace gm
