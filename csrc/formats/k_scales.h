// SPDX-License-Identifier: MIT
// The 12 bytes of scales and minima that Q4_K and Q5_K share: 8 sub-blocks, 6 bits each.
//   j < 4:   scale j = byte j & 63,                 min j = byte j + 4 & 63
//   j >= 4:  scale j = byte j + 4 & 15, its high 2 bits are the high 2 bits of byte j - 4;
//            min j   = byte j + 4 >> 4, its high 2 bits are the high 2 bits of byte j
#pragma once

#include "formats/block.h"

namespace gm {

struct KScales {
  uint8_t bytes[12];

  int scale(size_t j) const noexcept {
    return j < 4 ? bytes[j] & 63 : (bytes[j + 4] & 15) | ((bytes[j - 4] >> 6) << 4);
  }
  int min(size_t j) const noexcept {
    return j < 4 ? bytes[j + 4] & 63 : (bytes[j + 4] >> 4) | ((bytes[j] >> 6) << 4);
  }
  void set(const int scales[8], const int mins[8]) noexcept {
    for (size_t j = 0; j < 4; ++j) {
      bytes[j] = static_cast<uint8_t>(scales[j] | ((scales[j + 4] >> 4) << 6));
      bytes[j + 4] = static_cast<uint8_t>(mins[j] | ((mins[j + 4] >> 4) << 6));
      bytes[j + 8] = static_cast<uint8_t>((scales[j + 4] & 15) | ((mins[j + 4] & 15) << 4));
    }
  }
};

// Scales and minima of a super-block of kGroups sub-blocks: x = d * scale[j] * q - dmin * min[j],
// scale and min in [0, kMaxScale], q in [0, levels].
template <size_t kGroups, int kMaxScale>
struct KEncoding {
  static constexpr size_t kValues = 256 / kGroups;
  float d, dmin;
  int scales[kGroups], mins[kGroups];

  // Plain min/max of each sub-block; the minimum is never positive.
  static KEncoding fit(const float* in, int levels) noexcept {
    float step[kGroups], low[kGroups], max_step = 0.0f, max_low = 0.0f;
    for (size_t j = 0; j < kGroups; ++j) {
      float lo = 0.0f, hi = in[kValues * j];
      for (size_t i = 0; i < kValues; ++i) {
        lo = std::fmin(lo, in[kValues * j + i]);
        hi = std::fmax(hi, in[kValues * j + i]);
      }
      step[j] = (hi - lo) / static_cast<float>(levels);
      low[j] = -lo;
      max_step = std::fmax(max_step, step[j]);
      max_low = std::fmax(max_low, low[j]);
    }
    KEncoding e;
    e.d = f16_to_f32(f32_to_f16(max_step / kMaxScale));
    e.dmin = f16_to_f32(f32_to_f16(max_low / kMaxScale));
    for (size_t j = 0; j < kGroups; ++j) {
      e.scales[j] = clamp_round(step[j] * safe_inverse(e.d), 0, kMaxScale);
      e.mins[j] = clamp_round(low[j] * safe_inverse(e.dmin), 0, kMaxScale);
    }
    return e;
  }
  int code(float x, size_t j, int levels) const noexcept {
    const float scale = d * static_cast<float>(scales[j]);
    const float min = dmin * static_cast<float>(mins[j]);
    return clamp_round((x + min) * safe_inverse(scale), 0, levels);
  }
  BlockParts parts(const float* x, int levels) const noexcept {
    BlockParts out{.d = d, .m = dmin};
    for (size_t j = 0; j < kGroups; ++j) {
      out.scales[j] = scales[j];
      out.mins[j] = mins[j];
    }
    for (size_t i = 0; i < 256; ++i)
      out.codes[i] = static_cast<uint8_t>(code(x[i], i / kValues, levels));
    return out;
  }
};

}  // namespace gm
