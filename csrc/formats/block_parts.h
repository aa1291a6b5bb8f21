// SPDX-License-Identifier: MIT
// What a block is made of before its bits are put together (Block::pack). Here alone, because the
// kernels may include no function that is not theirs.
#pragma once

#include <cstdint>

namespace gm {

struct BlockParts {
  float d = 0.0f, m = 0.0f;  // the scale of all, and of the minima or their own
  int scales[16] = {};       // of sub-blocks, as the format's comment counts them
  int mins[16] = {};
  uint8_t codes[256] = {};  // from 0
};

}  // namespace gm
