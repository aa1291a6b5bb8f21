// SPDX-License-Identifier: MIT
// The tables from a format to its reference conversions.
#include "formats/floats.h"
#include "formats/format.h"
#include "formats/iq1_m.h"
#include "formats/iq1_s.h"
#include "formats/iq2_s.h"
#include "formats/iq2_xs.h"
#include "formats/iq2_xxs.h"
#include "formats/iq3_s.h"
#include "formats/iq3_xxs.h"
#include "formats/iq4_nl.h"
#include "formats/iq4_xs.h"
#include "formats/mxfp4.h"
#include "formats/nvfp4.h"
#include "formats/q1_0.h"
#include "formats/q2_0.h"
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
#include "formats/tq1_0.h"
#include "formats/tq2_0.h"

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
using IQ2_XXSConvert = BlockRow<IQ2_XXSBlock>;
using IQ2_XSConvert = BlockRow<IQ2_XSBlock>;
using IQ2_SConvert = BlockRow<IQ2_SBlock>;
using IQ3_XXSConvert = BlockRow<IQ3_XXSBlock>;
using IQ3_SConvert = BlockRow<IQ3_SBlock>;
using IQ1_SConvert = BlockRow<IQ1_SBlock>;
using IQ1_MConvert = BlockRow<IQ1_MBlock>;
using TQ1_0Convert = BlockRow<TQ1_0Block>;
using TQ2_0Convert = BlockRow<TQ2_0Block>;
using NVFP4Convert = BlockRow<NVFP4Block>;
using Q1_0Convert = BlockRow<Q1_0Block>;
using Q2_0Convert = BlockRow<Q2_0Block>;

template <class Convert>
inline constexpr bool kEncodes = true;
template <class Block>
inline constexpr bool kEncodes<BlockRow<Block>> =
    requires(Block block, const float* in) { block.encode(in); };

template <class Convert>
constexpr EncodeRow encoder() noexcept {
  if constexpr (kEncodes<Convert>) return Convert::encode;
  return nullptr;
}

template <class Convert>
inline constexpr bool kPacks = false;
template <class Block>
inline constexpr bool kPacks<BlockRow<Block>> =
    requires(Block block, const BlockParts& parts) { block.pack(parts); };

template <class Convert>
constexpr PackBlock packer() noexcept {
  if constexpr (kPacks<Convert>) return Convert::pack;
  return nullptr;
}

constexpr DecodeRow kDecode[] = {
#define GM_FORMAT(Name, id, values, bytes, Act) Name##Convert::decode,
#include "formats/formats.def"
};

constexpr EncodeRow kEncode[] = {
#define GM_FORMAT(Name, id, values, bytes, Act) encoder<Name##Convert>(),
#include "formats/formats.def"
};

constexpr PackBlock kPack[] = {
#define GM_FORMAT(Name, id, values, bytes, Act) packer<Name##Convert>(),
#include "formats/formats.def"
};

}  // namespace

PackBlock pack_block(Format format) noexcept { return kPack[static_cast<size_t>(format)]; }
DecodeRow decode_row(Format format) noexcept { return kDecode[static_cast<size_t>(format)]; }
EncodeRow encode_row(Format format) noexcept { return kEncode[static_cast<size_t>(format)]; }

}  // namespace gm
