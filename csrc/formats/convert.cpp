// SPDX-License-Identifier: MIT
// The tables from a format to its reference conversions.
#include "formats/floats.h"
#include "formats/format.h"
#include "formats/iq4_nl.h"
#include "formats/iq4_xs.h"
#include "formats/mxfp4.h"
#include "formats/q2_k.h"
#include "formats/q3_k.h"
#include "formats/q4_0.h"
#include "formats/q4_1.h"
#include "formats/q4_k.h"
#include "formats/q5_0.h"
#include "formats/q5_1.h"
#include "formats/q5_k.h"
#include "formats/q6_k.h"
#include "formats/q8_0.h"

namespace gm {
namespace {

using F32Convert = F32Row;
using F16Convert = HalfRow<f16_to_f32, f32_to_f16>;
using BF16Convert = HalfRow<bf16_to_f32, f32_to_bf16>;
using Q4_0Convert = BlockRow<Q4_0Block>;
using Q4_1Convert = BlockRow<Q4_1Block>;
using Q5_0Convert = BlockRow<Q5_0Block>;
using Q5_1Convert = BlockRow<Q5_1Block>;
using Q8_0Convert = BlockRow<Q8_0Block>;
using Q2_KConvert = BlockRow<Q2_KBlock>;
using Q3_KConvert = BlockRow<Q3_KBlock>;
using Q4_KConvert = BlockRow<Q4_KBlock>;
using Q5_KConvert = BlockRow<Q5_KBlock>;
using Q6_KConvert = BlockRow<Q6_KBlock>;
using IQ4_NLConvert = BlockRow<IQ4_NLBlock>;
using IQ4_XSConvert = BlockRow<IQ4_XSBlock>;
using MXFP4Convert = BlockRow<MXFP4Block>;

constexpr DecodeRow kDecode[] = {
#define GM_FORMAT(Name, id, values, bytes, Act) Name##Convert::decode,
#include "formats/formats.def"
};

constexpr EncodeRow kEncode[] = {
#define GM_FORMAT(Name, id, values, bytes, Act) Name##Convert::encode,
#include "formats/formats.def"
};

}  // namespace

DecodeRow decode_row(Format format) noexcept { return kDecode[static_cast<size_t>(format)]; }
EncodeRow encode_row(Format format) noexcept { return kEncode[static_cast<size_t>(format)]; }

}  // namespace gm
