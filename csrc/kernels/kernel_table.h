// SPDX-License-Identifier: MIT
// The only thing an ISA object exports: one constant table of plain function pointers, chosen once
// at start-up. All kernels are noexcept, allocate nothing and give the same bits on every ISA.
// Dimension names: T tokens, K values of a row, H/G query/KV heads, D head size, S positions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/block_parts.h"
#include "formats/format.h"
#include "formats/kv_page.h"

namespace gm {

inline constexpr size_t kPanelRows = 16;        // rows of a panel: a SIMD lane is a row
inline constexpr size_t kChunkPositions = 256;  // positions that attention reduces in one piece
inline constexpr size_t kMaxGroup = 128;        // query heads per KV head
inline constexpr size_t kLogitBlock = 128;      // logits that sampling looks at as one

// What a gate goes through before it is multiplied: x / (1 + e^-x), GELU by its tanh formula, GELU
// as it is defined (by erf), tanh x, 1 / (1 + e^-x), nothing. SwigluOai: x / (1 + e^-1.702x) of
// gates up to 7, times 1 + up, of which -7 to 7 is left.
enum class Activation : uint8_t { Silu, GeluTanh, Gelu, Tanh, SwigluOai, Sigmoid, None };
inline constexpr size_t kActivationCount = 7;

// How scores of experts become shares: softmax over all of them, or each alone, or softmax over the
// chosen ones.
enum class Gating : uint8_t { Softmax, Sigmoid, ChosenSoftmax };
inline constexpr size_t kMaxExpertsUsed = 128;  // of a token

// out[t, r] = (accumulate ? out[t, r] : 0) + (sum_k W[r, k] x[t, k] + bias[r]) * scale for the rows
// of panels [p0, p1).
struct LinearArgs {
  const uint8_t* panels;  // panel 0 of W; see panels/panel.h
  size_t rows;            // R; the last panel may be padded beyond it
  size_t K;
  const uint32_t* act;  // tiles of [T, K] in the format's ActKind; see formats/activation.h
  size_t T;
  float* out;         // [T, out_stride] f32
  size_t out_stride;  // floats
  bool accumulate;    // add to out (the residual)
  uint8_t* scratch;   // linear_scratch_bytes(T), 64-byte aligned, one per thread
  float scale = 1.0f;
  const float* bias = nullptr;  // [R] f32, or null
};

// x [T, K] f32, stride floats apart -> activation tiles. Handles tokens of tiles [tile0, tile1).
struct QuantizeArgs {
  const float* x;
  size_t stride;
  size_t T, K;
  uint32_t* act[kActKindCount];  // by ActKind; null: not wanted
};

// y = x / sqrt(mean(x^2) + eps) * weight, then as QuantizeArgs. A row is `heads` pieces of one
// length, each with a mean of its own and the same weight. f32 row goes through `row`.
struct RmsNormArgs {
  QuantizeArgs quant;
  const float* weight;  // [K / heads] f32
  float eps;
  float* row;  // [K] f32 scratch, one per thread
  float* out;  // [T, out_stride] f32, or null if only the activations are wanted
  size_t out_stride;
  size_t heads = 1;
  bool accumulate = false;  // add to out (the residual); no activations then
};

// y = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias, then as QuantizeArgs.
struct LayerNormArgs {
  QuantizeArgs quant;
  const float* weight;  // [K] f32
  const float* bias;    // [K] f32, or null
  float eps;
  float* row;  // [K] f32 scratch, one per thread
  float* out;  // [T, out_stride] f32, or null if only the activations are wanted
  size_t out_stride;
};

// activation(gate) * up, then as QuantizeArgs (quant.x is gate).
struct GluArgs {
  QuantizeArgs quant;
  const float* up;  // null: activation(gate) alone
  size_t up_stride;
  float* row;  // [K] f32 scratch, one per thread
};

// Rotates pairs of each head in place: NORM pairs (2i, 2i+1), NEOX pairs (i, i + n_rot/2). Then all
// values of a token are multiplied by the scale of its position.
struct RopeArgs {
  float* x;  // [T, stride]: heads * D values used
  size_t stride;
  size_t heads, D, n_rot;
  const float* cos_sin;      // [S_max, n_rot]: cos of pair i at 2i, sin at 2i + 1, row = position
  const int32_t* positions;  // [T]
  bool neox;
  const float* scales = nullptr;  // [S_max], or null: 1
};

// Writes keys and values into their pages (formats/kv_page.h).
struct KvStoreArgs {
  const float* k;  // [T, k_stride] f32: G * D values
  const float* v;
  size_t k_stride, v_stride;
  size_t G, D;
  uint8_t* const* k_pages;  // [ceil(S / 64)]
  uint8_t* const* v_pages;
  const int32_t* positions;  // [T]
};

// out[t, h] = softmax(cap(q[t, h] . k[0..position t] * scale)) v, chunk by chunk of 256 positions;
// cap(x) = softcap * tanh(x / softcap).
struct AttentionArgs {
  const float* q;  // [T, q_stride] f32: H * D values
  size_t q_stride;
  float* out;  // [T, out_stride] f32: H * D values
  size_t out_stride;
  size_t H, G, D;
  const uint8_t* const* k_pages;
  const uint8_t* const* v_pages;
  const int32_t* positions;  // [T], ascending
  float scale;
  size_t window;     // attends to the last `window` positions; 0: all
  uint8_t* scratch;  // attention_scratch_bytes(), one per thread
  float* parts;      // [T, H, part_chunks, attention_part_floats(D)]: results of single chunks
  size_t part_chunks;
  float softcap = 0.0f;  // 0: none
  // Not 0: every token sees all of so many positions, or with a window those at most window / 2
  // before or after it.
  size_t length = 0;
  const float* sinks = nullptr;  // [H] f32, or null: a score of each head that weighs nothing
};

// A piece of attention: the query heads of KV head g for tokens [t0, t1), at most
// attention_tile(H / G) of them. Whole: every chunk they see, combined in order into out. Else the
// chunks [chunk0, chunk1), each into parts, for attention_merge to combine in the same order.
struct AttentionCut {
  size_t g, t0, t1;
  bool whole;
  size_t chunk0, chunk1;
};

// Tokens of a call: about as many rows (token, query head) as share one widened page in L1.
inline constexpr size_t kAttentionTileRows = 96;
static constexpr size_t attention_tile(size_t heads) noexcept {
  return heads < kAttentionTileRows ? kAttentionTileRows / heads : 1;
}
// The weighted sum of D channels in whole vectors, the largest score, the sum of the weights.
static constexpr size_t attention_part_floats(size_t D) noexcept { return (D + 15) / 16 * 16 + 16; }

// Routes of tokens: the ids of the `used` best experts, best first, then their shares; of equals
// the first is better. What is compared has bias added, what is shared has not. Shares are divided
// by their sum if they are to be normalised, then multiplied by scale. Ids are below E and distinct
// whatever the scores are.
struct RouteArgs {
  const float* x;  // [T, stride] f32: E scores used
  size_t stride, E, used;
  const float* bias;  // [E] f32, or null
  Gating gating;
  bool normalise;
  float scale;
  float* row;     // [E in whole vectors] f32 scratch, one per thread
  float* routes;  // [T, routes_stride] f32: 2 used
  size_t routes_stride;
};

// Token i of `to` is token tokens[i] of `from`, in tiles of its own.
struct GatherArgs {
  const uint32_t* from[kActKindCount];  // tiles of [from_T, K]; null: not wanted
  uint32_t* to[kActKindCount];          // tiles of [T, K]
  const uint32_t* tokens;               // [T]
  size_t from_T, T, K;
};

// out[t] = (accumulate ? out[t] : 0) + sum_c shares[t, c] rows[places[t, c]], in the order of c.
struct CombineArgs {
  const float* rows;  // [.., row_stride] f32: D used
  size_t row_stride, D, used;
  const uint32_t* places;  // [T, used]
  const float* shares;     // [T, shares_stride]
  size_t shares_stride;
  float* out;  // [T, out_stride] f32
  size_t out_stride;
  bool accumulate;
};

// out[t, c] = f(bias[c] + sum over j of weight[j, c] z[t - taps + 1 + j, c]), z = x (* gate). Rows
// before the batch come from `history`, where the row of position p is at p mod (taps - 1).
struct ShortConvArgs {
  const float* x;  // [T, x_stride]
  size_t x_stride;
  const float* gate;  // [T, gate_stride], or null
  size_t gate_stride;
  float* out;  // [T, out_stride]
  size_t out_stride;
  size_t channels, taps;
  const float* weight;  // [taps, channels]
  const float* bias;    // [channels], or null
  float* history;       // [taps - 1, channels]: rows of z
  size_t position;      // of token 0
  bool silu;
};

// The gated delta rule; see plan/plan.h. Prepare first: it brings queries and keys to length 1 and
// makes decays of alpha and strengths of beta, all in place.
struct DeltaRuleArgs {
  float* qkv;  // [T, qkv_stride]: G queries and G keys of K, H values of V
  size_t qkv_stride;
  float* alpha;  // [T, alpha_stride]
  size_t alpha_stride;
  float* beta;  // [T, beta_stride]
  size_t beta_stride;
  float* out;  // [T, out_stride]
  size_t out_stride;
  size_t T, G, H, K, V;
  const float* rate;   // [H]
  const float* shift;  // [H]
  float eps;
  float* state;  // [H, delta_blocks(V), K, 16]
};
static constexpr size_t delta_blocks(size_t V) noexcept { return (V + 15) / 16; }
static constexpr size_t delta_state_floats(size_t K, size_t V) noexcept {
  return delta_blocks(V) * K * 16;  // of a head
}

struct KernelTable {
  const char* name;  // "avx512_vnni"
  size_t max_tile;   // tokens in a full activation tile

  void (*linear[kFormatCount])(const LinearArgs&, size_t p0, size_t p1) noexcept;
  void (*quantize)(const QuantizeArgs&, size_t tile0, size_t tile1) noexcept;
  void (*rms_norm)(const RmsNormArgs&, size_t tile0, size_t tile1) noexcept;
  void (*layer_norm)(const LayerNormArgs&, size_t tile0, size_t tile1) noexcept;
  void (*glu[kActivationCount])(const GluArgs&, size_t tile0, size_t tile1) noexcept;
  void (*route)(const RouteArgs&, size_t t0, size_t t1) noexcept;
  void (*gather)(const GatherArgs&) noexcept;
  void (*combine)(const CombineArgs&, size_t t0, size_t t1) noexcept;
  void (*rope)(const RopeArgs&, size_t t0, size_t t1) noexcept;
  void (*short_conv)(const ShortConvArgs&, size_t t0, size_t t1) noexcept;
  void (*delta_prepare)(const DeltaRuleArgs&, size_t t0, size_t t1) noexcept;
  // All tokens, for blocks [b0, b1) of h * delta_blocks(V) + block.
  void (*delta_rule)(const DeltaRuleArgs&, size_t b0, size_t b1) noexcept;
  void (*kv_store[kKvTypeCount])(const KvStoreArgs&, size_t t0, size_t t1) noexcept;
  void (*attention[kKvTypeCount])(const AttentionArgs&, const AttentionCut&) noexcept;
  // out from the chunks in parts, for rows [row0, row1) of t * H + h.
  void (*attention_merge)(const AttentionArgs&, size_t row0, size_t row1) noexcept;

  // x = cap * tanh(x / cap) for x [n] f32 in place.
  void (*soft_cap)(float* x, size_t n, float cap) noexcept;

  // x [n] f32 -> per block of kLogitBlock: best [blocks], sum of e^(x - best) [blocks]; NaN counts
  // as -infinity. Then the sum of e^(x - top) over the row, for finite top = the largest best.
  void (*logit_blocks)(const float* x, size_t n, float* best, float* sum) noexcept;
  double (*logit_mass)(const float* best, const float* sum, size_t blocks, float top) noexcept;

  size_t (*linear_scratch_bytes)(size_t T) noexcept;
  size_t (*attention_scratch_bytes)(KvType type, size_t H, size_t G, size_t D) noexcept;

  // 16 rows side by side, x and w [block_values][16]: the parts of their blocks, for Block::pack.
  // The sum of w (x - x')^2 is as small as the search finds; null for types without a search.
  void (*fit[kFormatCount])(const float* x, const float* w, BlockParts* parts) noexcept;

  // For measuring the machine; see kernels/roofline.inl.h.
  size_t (*int8_burn)(size_t rounds, uint32_t* sink) noexcept;
  size_t (*float_burn)(size_t rounds, uint32_t* sink) noexcept;
  uint32_t (*read_stream)(const uint8_t* data, size_t bytes) noexcept;
};

}  // namespace gm
