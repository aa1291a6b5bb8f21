// SPDX-License-Identifier: MIT
// A plan: the flat list of fused operations that one forward pass runs, over named weights and
// numbered buffers. It comes from Python and is untrusted input: nothing here is believed before
// plan/validate.h has passed it. It knows no model names.
//
// Buffers are values: each is defined once, may be changed in place (rope, accumulate) and is dead
// after its last use. Buffers of one slot share memory, so their lifetimes must not overlap.
// Rows: a Batch buffer has one row per token of the batch, a Logits buffer one per row of logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/kernel_table.h"

namespace gm {

using BufferId = uint32_t;
using WeightId = uint32_t;
inline constexpr uint32_t kNone = 0xffffffffu;

enum class BufferKind : uint8_t { F32, Act };  // Act: tiles of formats/activation.h
enum class BufferRows : uint8_t { Batch, Logits };

struct BufferSpec {
  BufferKind kind = BufferKind::F32;
  BufferRows rows = BufferRows::Batch;
  uint64_t width = 0;  // values of a row
  uint32_t slot = 0;
};

struct WeightSpec {
  std::string name;             // GGUF tensor name
  std::vector<uint64_t> shape;  // [rows, K] or [K]
  // A slice of a fused matrix: rows from first_row on of a tensor of of_rows; 0: the whole tensor.
  uint64_t first_row = 0;
  uint64_t of_rows = 0;
  // Matrices of so many experts one below the other: the tensor is [experts, rows / experts, K].
  uint64_t experts = 1;
};

// cos and sin of position * scale * scales[i] * freq_base^(-2i / n_rot) / factors[i], times
// magnitude.
struct RopeSpec {
  double freq_base = 10000.0;
  double scale = 1.0;        // linear scaling: 1 / factor
  uint64_t n_rot = 0;        // even; rotated values of a head
  WeightId factors = kNone;  // [n_rot / 2] or none
  // LongRoPE: what takes the place of factors in sessions of more than long_from positions.
  WeightId long_factors = kNone;
  uint64_t long_from = 0;
  std::vector<double> scales = {};  // [n_rot / 2], or none: 1
  double magnitude = 1.0;
  // Queries at position p are multiplied by 1 + query_slope * ln(1 + floor(p / query_length)).
  double query_slope = 0.0;  // 0: they are not
  uint64_t query_length = 0;
};

// The geometry of a layer's KV cache.
struct KvSpec {
  uint64_t heads = 0;     // G
  uint64_t head_dim = 0;  // D
};

// f32 numbers that one operation keeps of a sequence from batch to batch; 0 at its start.
struct StateSpec {
  uint64_t values = 0;
};

// out[t] = scale * weight row of token t.
struct EmbedOp {
  WeightId weight;  // [V, width]
  BufferId out;     // F32
  double scale = 1.0;
};

// out[t] += weight row of the token's position, or of its type.
enum class RowIndex : uint8_t { Position, Type };
struct AddRowsOp {
  WeightId weight;  // [N, width]
  BufferId out;     // F32, in place
  RowIndex index;
};

// RMS norm of each of x's heads (one: of the row) times weight, as activations, as f32, or both; or
// added to out.
struct RmsNormOp {
  BufferId x;
  WeightId weight;  // [width / heads]
  double eps;
  BufferId act;  // or kNone
  BufferId out;  // or kNone
  uint64_t heads = 1;
  bool accumulate = false;  // then act is kNone
};

// (x - mean) / sqrt(variance + eps) * weight + bias, as activations, as f32, or both.
struct LayerNormOp {
  BufferId x;
  WeightId weight;  // [width]
  WeightId bias;    // [width], or kNone
  double eps;
  BufferId act;  // or kNone
  BufferId out;  // or kNone
};

struct QuantizeOp {
  BufferId x;
  BufferId act;
};

// outs[i] = (accumulate ? outs[i] : 0) + scale * factors[i] * (weights[i] act + biases[i]): one
// region over the panels of all. A weight with a factor has no bias.
struct LinearOp {
  BufferId act;
  std::vector<WeightId> weights;  // [rows, K]
  std::vector<BufferId> outs;     // F32
  bool accumulate;
  std::vector<WeightId> biases = {};  // [rows] or kNone, one per weight; or none at all
  double scale = 1.0;
  std::vector<WeightId> factors = {};  // [1] or kNone, one per weight; or none at all
};

// Rotates q and k in place, then stores k and v at the batch's positions of the layer's cache.
struct RopeStoreOp {
  BufferId q;  // [heads * D]
  BufferId k;  // [G * D]
  BufferId v;
  uint32_t layer;
  uint64_t heads;
  uint32_t rope;  // or kNone: store only
  bool neox;
};

// Bidirectional: over the batch alone, of which each token sees every position, or those at most
// window / 2 away; the layer may then be stored again.
struct AttentionOp {
  BufferId q;  // [heads * D]
  BufferId out;
  uint32_t layer;
  uint64_t heads;
  double scale;
  uint64_t window;       // 0: all positions
  double softcap = 0.0;  // of the scores; 0: none
  bool bidirectional = false;
  WeightId sinks = kNone;  // [heads] or none: a score of each head that weighs nothing
};

// act = activation(gate) * up, or activation(gate).
struct GluOp {
  BufferId gate;
  BufferId up;  // or kNone
  BufferId act;
  Activation activation = Activation::Silu;
};

// Scores -> ids of the best `used` experts, then their shares; see RouteArgs.
struct RouteOp {
  BufferId x;       // [E] F32
  BufferId routes;  // [2 used] F32; nothing changes it
  WeightId bias;    // [E] or kNone
  uint64_t used;
  Gating gating;
  bool normalise;
  double scale;
};

// out = (accumulate ? out : 0) + the sum over the chosen experts of share * (down h + its bias), h
// = activation(gate x + its bias) * (up x + its bias). The work buffers hold the pairs (token,
// expert) of a batch, sorted by expert; a row of theirs is used rows of a pair, at least as long as
// named.
struct ExpertsOp {
  BufferId act;                   // [D]
  BufferId routes;                // [2 used]
  BufferId out;                   // [D] F32
  std::vector<WeightId> weights;  // gate [E F, D], up [E F, D], down [E D, F]
  std::vector<WeightId> biases;   // [E, F], [E, F], [E, D], or kNone; or none at all
  uint64_t used;
  Activation activation;
  bool accumulate;
  BufferId pairs;   // [2 used + 2 E + 2] F32: how the pairs are sorted, as integers
  BufferId sorted;  // [used D] Act
  BufferId gates;   // [used F] F32
  BufferId ups;     // [used F] F32
  BufferId hidden;  // [used F] Act
  BufferId rows;    // [used D] F32: what the expert of each pair makes
};

// Causal convolution of each channel over its last `taps` rows: out[t, c] = f(bias[c] + sum over j
// of weight[c, j] z[t - taps + 1 + j, c]), where z is x, or x * gate, and f SiLU or nothing.
struct ShortConvOp {
  BufferId x;       // [C]
  BufferId gate;    // [C], or kNone
  BufferId out;     // [C]
  WeightId weight;  // [C, taps]
  WeightId bias;    // [C], or kNone
  uint32_t state;   // [taps - 1, C]: rows of z
  bool silu;
};

// The gated delta rule. Each of H heads has a matrix S [K, V]; with q and k of length 1 (q then
// divided by sqrt(K)), decay = e^(rate * softplus(alpha + shift)) and strength = sigmoid(beta):
//   S = decay * S;  S += k (x) strength * (v - k S);  out = q S.
// Head h takes the queries and keys of head h mod G. The inputs are work space, too.
struct DeltaRuleOp {
  BufferId qkv;        // [2 G K + H V]: queries, keys, values
  BufferId alpha;      // [H]
  BufferId beta;       // [H]
  BufferId out;        // [H V]
  WeightId rate;       // [H]
  WeightId shift;      // [H]
  uint32_t state;      // [H, ceil(V / 16), K, 16]
  uint64_t key_heads;  // G
  uint64_t heads;      // H
  uint64_t key_dim;    // K
  uint64_t value_dim;  // V
  double eps;          // under the root of a length
};

// first and second = the halves of each of x's heads.
struct SplitHeadsOp {
  BufferId x;       // [2 W]
  BufferId first;   // [W]
  BufferId second;  // [W]
  uint64_t heads;
};

// The rows whose logits are wanted: the last ones, or one for the whole batch.
enum class Pool : uint8_t { Last, First, Mean };
struct SelectRowsOp {
  BufferId x;
  BufferId out;  // Logits rows
  Pool pool = Pool::Last;
};

// The session's logits = cap(scale * weight act), cap(x) = softcap * tanh(x / softcap); the last
// operation.
struct LogitsOp {
  BufferId act;     // Logits rows
  WeightId weight;  // [V, K]
  double scale = 1.0;
  double softcap = 0.0;  // 0: none
};

// What a model without logits gives instead of them: x itself; the last operation.
struct OutputOp {
  BufferId x;  // Logits rows
};

using Op = std::variant<EmbedOp, AddRowsOp, RmsNormOp, LayerNormOp, QuantizeOp, LinearOp,
                        RopeStoreOp, AttentionOp, GluOp, RouteOp, ExpertsOp, ShortConvOp,
                        DeltaRuleOp, SplitHeadsOp, SelectRowsOp, LogitsOp, OutputOp>;

// "rms_norm": as the plan's dict and messages call it.
std::string_view op_name(const Op& op) noexcept;

struct Plan {
  uint64_t vocab_size = 0;
  std::vector<KvSpec> layers;
  std::vector<StateSpec> states;
  std::vector<BufferSpec> buffers;
  std::vector<WeightSpec> weights;
  std::vector<RopeSpec> ropes;
  std::vector<Op> ops;
};

// What an operation does to buffers and weights, in one form for validation and memory layout.
struct OpUse {
  std::vector<BufferId> reads;
  std::vector<BufferId> changes;  // in place
  std::vector<BufferId> defines;
};
OpUse uses_of(const Op& op);

// How the plan reads a weight; a weight can be read in several ways (tied embeddings).
struct WeightUse {
  bool rows = false;     // rows by token id
  bool panels = false;   // a linear product
  bool vector = false;   // f32 values: norms, biases, factors; all rows
  bool columns = false;  // f32 values, column after column: convolutions
};
std::vector<WeightUse> weight_uses(const Plan& plan);

// What holds for the whole of a valid plan.
struct PlanTraits {
  uint64_t output_width = 0;  // values of a row of logits, or of the output
  bool logits = true;         // and not an output
  // A batch is a whole text: tokens see those after them, or the text becomes one row.
  bool whole_texts = false;
  bool one_row = false;        // the batch becomes one row
  uint64_t positions = ~0ull;  // that a table of positions has rows for
  uint64_t types = ~0ull;      // that a table of types has rows for
};
PlanTraits traits_of(const Plan& plan);

}  // namespace gm
