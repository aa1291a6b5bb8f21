// SPDX-License-Identifier: MIT
// Compiled once per ISA: GM_ISA names the level and its namespace, a simd header gave the
// vocabulary. Everything has internal linkage but the one table.
#include "formats/activation.h"
#include "formats/code_tables.h"
#include "kernels/kernel_table.h"

namespace gm {
namespace GM_ISA {
namespace {

#include "kernels/common.inl.h"
#include "kernels/math.inl.h"

#include "kernels/tile.inl.h"

#include "kernels/dot.inl.h"

#include "kernels/linear_256.inl.h"
#include "kernels/linear_32.inl.h"

#ifdef GM_MATRIX_UNIT
#include "kernels/linear_tiles.inl.h"
#endif
#ifdef GM_PAIR_PRODUCTS
#include "kernels/linear_pairs.inl.h"
#endif
#include "kernels/linear_float.inl.h"

#include "kernels/linear.inl.h"

#include "kernels/unpack/code_table.inl.h"
#include "kernels/unpack/codes2.inl.h"
#include "kernels/unpack/codes3.inl.h"
#include "kernels/unpack/codes4.inl.h"
#include "kernels/unpack/iq4_nl.inl.h"
#include "kernels/unpack/iq4_xs.inl.h"
#include "kernels/unpack/k_scales.inl.h"
#include "kernels/unpack/mxfp4.inl.h"
#include "kernels/unpack/nvfp4.inl.h"
#include "kernels/unpack/q1_0.inl.h"
#include "kernels/unpack/q2_0.inl.h"
#include "kernels/unpack/q2_k.inl.h"
#include "kernels/unpack/q3_k.inl.h"
#include "kernels/unpack/q4_0.inl.h"
#include "kernels/unpack/q4_1.inl.h"
#include "kernels/unpack/q4_k.inl.h"
#include "kernels/unpack/q5_0.inl.h"
#include "kernels/unpack/q5_1.inl.h"
#include "kernels/unpack/q5_k.inl.h"
#include "kernels/unpack/q6_k.inl.h"
#include "kernels/unpack/q8_0.inl.h"

#include "kernels/quantize_act.inl.h"

#include "kernels/attention.inl.h"

#include "kernels/attention_f16.inl.h"
#include "kernels/attention_int.inl.h"
#include "kernels/experts.inl.h"
#include "kernels/glu.inl.h"
#include "kernels/kv_store.inl.h"
#include "kernels/layer_norm.inl.h"
#include "kernels/logits.inl.h"
#include "kernels/roofline.inl.h"
#include "kernels/rope.inl.h"
#include "kernels/short_conv.inl.h"

#include "kernels/rms_norm.inl.h"

#include "kernels/delta_rule.inl.h"

#include "kernels/fit_groups.inl.h"

#include "kernels/fit_blocks.inl.h"

// The loop that fits an activation kind.
template <class Panel, ActKind kind>
constexpr auto linear_for() {
  if constexpr (kind == ActKind::Q8_256) {
    return &linear<Steps256<Panel>, kind>;
  } else if constexpr (kind == ActKind::Q8_32) {
    return &linear<Steps32<Panel>, kind>;
  } else {
    return &linear<StepsFloat<Panel>, kind>;
  }
}

}  // namespace

extern const KernelTable kTable;
constinit const KernelTable kTable = {
    GM_ISA_NAME,
    kMaxTile,
    {
#define GM_FORMAT(Name, id, values, bytes, Act) linear_for<Name##Panel, ActKind::Act>(),
#include "formats/formats.def"
    },
    quantize,
    rms_norm,
    layer_norm,
    {glu<Activation::Silu>, glu<Activation::GeluTanh>, glu<Activation::Gelu>, glu<Activation::Tanh>,
     glu<Activation::SwigluOai>, glu<Activation::Sigmoid>, glu<Activation::None>},
    route,
    gather,
    combine,
    rope,
    short_conv,
    delta_prepare,
    delta_rule,
    {kv_store<KvType::F16>, kv_store<KvType::Q8_0>, kv_store<KvType::Q4_0>},
    {attention<F16Core>, attention<IntCore<KvType::Q8_0>>, attention<IntCore<KvType::Q4_0>>},
    attention_merge,
    soft_cap,
    logit_blocks,
    logit_mass,
    linear_scratch_bytes,
    attention_scratch_bytes,
    {
#define GM_FORMAT(Name, id, values, bytes, Act) block_fit<Format::Name>(),
#include "formats/formats.def"
    },
    int8_burn,
    float_burn,
    read_stream,
};

}  // namespace GM_ISA
}  // namespace gm
