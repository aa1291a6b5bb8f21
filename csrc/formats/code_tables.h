// SPDX-License-Identifier: MIT
// The values that 4-bit codes stand for where they are not evenly spaced. Read by the reference
// conversions and by the kernels; static, so that no ISA object exports a symbol.
#pragma once

#include <cstdint>

namespace gm {

// IQ4_NL, IQ4_XS: rising.
static constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};
// MXFP4: E2M1 values times 2; the scale is halved for it.
static constexpr int8_t kMxfp4Values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

// Panels of codes (panels/recode.h): what they add to the values of a code to make it unsigned, and
// the unit of d, which the formats of a panel share.
static constexpr int kCodes3Offset = 43;
static constexpr int kCodes4Offset = 31;
static constexpr float kCodes2Unit = 0.125f;
static constexpr float kCodes3Unit = 0.125f;
static constexpr float kCodes4Unit = 0.5f;

}  // namespace gm
