// SPDX-License-Identifier: MIT
// Level amx_int8 (Sapphire Rapids and later servers): AVX-512 VNNI plus the matrix unit. A tile
// register holds 16 rows of 64 bytes; a tile product adds 16 tokens x 16 rows x 64 values in one
// instruction, eight times the rate of vpdpbusd. A line of a panel (4 values of 16 rows) is already
// a row of its right operand; only the activations of full tiles lie differently (kTokenMajorTile).
#pragma once

#include "simd/vnni.h"

namespace gm::GM_ISA {
namespace {

inline constexpr size_t kMaxTile = 16;
inline constexpr size_t kTokenMajorTile = 16;  // tiles of this width hold each token's values in a
                                               // row; 0: none does
inline constexpr size_t kDirectTokens = 8;     // up to here weights are expanded in registers
inline constexpr int kPanelPair = 2;           // panels that share a broadcast activation
inline constexpr size_t kAttentionRows = 12;   // 12 x 2 accumulators of 32 registers

// What the 8 tile registers are: 4 results (16 tokens x 16 rows of int32), 2 left operands (16
// tokens of k bytes), 2 right operands (k / 4 lines of a panel).
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  constexpr explicit TileShapes(int k) {
    for (int i = 0; i < 8; ++i) {
      row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? k : 64);
      rows[i] = static_cast<uint8_t>(i >= 6 ? k / 4 : 16);
    }
  }
};

// GCC does not count the memory that a tile load reads: what was stored before is stored now.
inline void tiles_see_memory() { __asm__ volatile("" ::: "memory"); }

// Unsigned weights less the offset they are stored with: int8.
inline Bytes64 signed_weights(Bytes64 w, int offset) {
  return _mm512_sub_epi8(w, _mm512_set1_epi8(static_cast<char>(offset)));
}

// w * scale, 14 bits and a sign, as low + 128 * high: two planes of int8 for the tile product. w is
// 4 x 16 unsigned weights from which `offset` is taken first, scale an int32 per row.
inline void split_products(Bytes64 w, I32x16 scale, int offset, Bytes64* low, Bytes64* high) {
  const __m512i s = i_pair16(scale, scale), off = _mm512_set1_epi16(static_cast<int16_t>(offset));
  const __m512i bytes = _mm512_set1_epi16(0x00ff), seven = _mm512_set1_epi8(0x7f);
  __m512i even = _mm512_and_si512(w, bytes), odd = _mm512_srli_epi16(w, 8);
  if (offset != 0) {
    even = _mm512_sub_epi16(even, off);
    odd = _mm512_sub_epi16(odd, off);
  }
  even = _mm512_mullo_epi16(even, s);
  odd = _mm512_mullo_epi16(odd, s);
  // Bytes of `bytes` from the first, the others from the second (0xca: mask ? a : b).
  const auto merge = [&](__m512i a, __m512i b) {
    return _mm512_ternarylogic_epi32(bytes, a, b, 0xca);
  };
  *low = _mm512_and_si512(merge(even, _mm512_slli_epi16(odd, 8)), seven);
  *high = merge(_mm512_srai_epi16(even, 7), _mm512_slli_epi16(odd, 1));
}

}  // namespace
}  // namespace gm::GM_ISA
