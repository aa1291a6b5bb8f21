// SPDX-License-Identifier: MIT
// Q8_0: 32 values, x = d * q.
//   bytes 0-1   d   f16
//   bytes 2-33  q   32 int8
#pragma once

#include "formats/block.h"

namespace gm {

struct Q8_0Block {
  static constexpr size_t kValues = 32;
  uint16_t d;
  int8_t q[32];

  void decode(float* out) const noexcept {
    for (size_t i = 0; i < 32; ++i) out[i] = f16_to_f32(d) * static_cast<float>(q[i]);
  }
  // Rounds half away from zero, as ggml does.
  void encode(const float* in) noexcept {
    const float scale = std::fabs(signed_absmax(in, 32)) / 127.0f;
    const float inverse = safe_inverse(scale);
    BlockParts parts{.d = scale};
    for (size_t i = 0; i < 32; ++i)
      parts.codes[i] = static_cast<uint8_t>(static_cast<int>(std::round(in[i] * inverse)) + 128);
    pack(parts);
  }
  void pack(const BlockParts& parts) noexcept {  // codes are q + 128
    d = f32_to_f16(parts.d);
    for (size_t i = 0; i < 32; ++i) q[i] = static_cast<int8_t>(parts.codes[i] - 128);
  }
};
static_assert(sizeof(Q8_0Block) == 34);

}  // namespace gm
