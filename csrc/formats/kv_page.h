// SPDX-License-Identifier: MIT
// Pages of the KV cache: 64 positions of one layer, [G] heads one after another. A position is
// written into a page without touching the others, and lies there as the attention kernels read
// it: for scores a SIMD lane is a position, for values a channel. Per head of D channels:
//
//   F16   K [D][64] f16                               V [64][D] f16
//   Q8_0  K [D/4][64][4] int8   of channels 4j..4j+3  V [D/16][16][16][4] int8: bytes of line i of
//                                                       16 channels are positions i + (0,32,16,48)
//   Q4_0  K [D/8][64][4] nibbles: low channels        V [D/32][16][16][4] nibbles: low the first,
//         8j..8j+3, high 8j+4..8j+7                     high the second 16 channels of the block
//
// then, for Q8_0 and Q4_0, [D/32][64] f16 scales, one per position and 32 channels, as in GGUF:
// Q8_0 x = d q, d = absmax / 127; Q4_0 x = d (q - 8), d = extreme / -8. The even bytes of a V line
// are the int16 pairs of positions (i, i + 16), its odd bytes those of (i + 32, i + 48).
#pragma once

#include <cstddef>
#include <cstdint>

namespace gm {

enum class KvType : uint8_t { F16, Q8_0, Q4_0 };
inline constexpr size_t kKvTypeCount = 3;
inline constexpr const char* kKvTypeNames[kKvTypeCount] = {"f16", "q8_0", "q4_0"};

inline constexpr size_t kPagePositions = 64;
inline constexpr size_t kKvBlock = 32;  // channels that share a scale

// Bits of the values of 32 channels, and bytes of their scale.
static constexpr size_t kv_value_bytes(KvType type, size_t D) noexcept {
  return D * kPagePositions * (type == KvType::F16 ? 4 : type == KvType::Q8_0 ? 2 : 1) / 2;
}
static constexpr size_t kv_scale_bytes(KvType type, size_t D) noexcept {
  return type == KvType::F16 ? 0 : D / kKvBlock * kPagePositions * sizeof(uint16_t);
}
// Bytes of one head in a K page, and in a V page. D % 32 == 0 unless F16.
static constexpr size_t kv_head_bytes(KvType type, size_t D) noexcept {
  return kv_value_bytes(type, D) + kv_scale_bytes(type, D);
}

}  // namespace gm
