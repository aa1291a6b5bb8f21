// SPDX-License-Identifier: MIT
// A transformer of a few thousand weights: its plan, and a file that fits. For tests of what runs a
// plan; that the results are right is for the tests against other implementations.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "formats/format.h"
#include "gguf/writer.h"
#include "plan/plan.h"

namespace gm::test {

struct TinyShape {
  uint64_t dim = 64, ffn = 96, layers = 2, heads = 4, kv_heads = 2, head_dim = 32, vocab = 80;
  uint64_t experts = 0, used = 2;  // the last layer is a mixture if there are experts
  bool recurrent = false;          // a short convolution and a delta rule in front of the layers
};

// Buffers with a slot each, and weights.
class PlanBuilder {
 public:
  const Plan& plan() const { return plan_; }

 protected:
  BufferId buffer(BufferKind kind, uint64_t width, BufferRows rows = BufferRows::Batch) {
    const auto id = static_cast<BufferId>(plan_.buffers.size());
    plan_.buffers.push_back({kind, rows, width, id});
    return id;
  }
  WeightId weight(const std::string& name, std::vector<uint64_t> shape) {
    plan_.weights.push_back({name, std::move(shape)});
    return static_cast<WeightId>(plan_.weights.size() - 1);
  }

  Plan plan_;
};

class TinyPlan : public PlanBuilder {
 public:
  explicit TinyPlan(const TinyShape& shape) : s_(shape) {
    plan_.vocab_size = s_.vocab;
    plan_.layers.assign(s_.layers, {s_.kv_heads, s_.head_dim});
    plan_.ropes.push_back({10000.0, 1.0, s_.head_dim, kNone});
    const BufferId x = buffer(BufferKind::F32, s_.dim);
    plan_.ops.push_back(EmbedOp{weight("embed", {s_.vocab, s_.dim}), x});
    if (s_.recurrent) {
      add_convolution(x);
      add_delta_rule(x);
    }
    for (uint64_t i = 0; i < s_.layers; ++i) add_layer("blk." + std::to_string(i) + ".", x);
    const BufferId rows = buffer(BufferKind::F32, s_.dim, BufferRows::Logits);
    plan_.ops.push_back(SelectRowsOp{x, rows});
    const BufferId act = norm("output_norm", rows, BufferRows::Logits);
    plan_.ops.push_back(LogitsOp{act, weight("output", {s_.vocab, s_.dim})});
  }

 private:
  BufferId norm(const std::string& name, BufferId x, BufferRows rows = BufferRows::Batch) {
    const BufferId act = buffer(BufferKind::Act, s_.dim, rows);
    plan_.ops.push_back(RmsNormOp{x, weight(name, {s_.dim}), 1e-5, act, kNone});
    return act;
  }

  uint32_t state(uint64_t values) {
    plan_.states.push_back({values});
    return static_cast<uint32_t>(plan_.states.size() - 1);
  }
  void add_output(const std::string& name, BufferId x, BufferId act) {
    const uint64_t width = plan_.buffers[act].width;
    plan_.ops.push_back(LinearOp{act, {weight(name, {s_.dim, width})}, {x}, true});
  }

  void add_convolution(BufferId x) {
    BufferId act = norm("conv_norm", x);
    const BufferId both = buffer(BufferKind::F32, 2 * s_.dim), z = buffer(BufferKind::F32, s_.dim),
                   gate = buffer(BufferKind::F32, s_.dim), out = buffer(BufferKind::F32, s_.dim);
    plan_.ops.push_back(LinearOp{act, {weight("conv_in", {2 * s_.dim, s_.dim})}, {both}, false});
    plan_.ops.push_back(SplitHeadsOp{both, z, gate, 4});
    plan_.ops.push_back(ShortConvOp{z, gate, out, weight("conv", {s_.dim, 3}),
                                    weight("conv_bias", {s_.dim}), state(2 * s_.dim), true});
    act = buffer(BufferKind::Act, s_.dim);
    plan_.ops.push_back(GluOp{gate, out, act, Activation::None});
    add_output("conv_out", x, act);
  }

  void add_delta_rule(BufferId x) {
    constexpr uint64_t G = 1, H = 2, K = 12, V = 32, width = 2 * G * K + H * V;
    BufferId act = norm("delta_norm", x);
    const BufferId qkv = buffer(BufferKind::F32, width), alpha = buffer(BufferKind::F32, H),
                   beta = buffer(BufferKind::F32, H), out = buffer(BufferKind::F32, H * V);
    plan_.ops.push_back(LinearOp{
        act,
        {weight("qkv", {width, s_.dim}), weight("alpha", {H, s_.dim}), weight("beta", {H, s_.dim})},
        {qkv, alpha, beta},
        false});
    plan_.ops.push_back(DeltaRuleOp{qkv, alpha, beta, out, weight("rate", {H}),
                                    weight("shift", {H}), state(H * delta_state_floats(K, V)), G, H,
                                    K, V, 1e-6});
    act = buffer(BufferKind::Act, H * V);
    plan_.ops.push_back(QuantizeOp{out, act});
    add_output("delta_out", x, act);
  }

  void add_layer(const std::string& prefix, BufferId x) {
    const uint64_t q_width = s_.heads * s_.head_dim, kv_width = s_.kv_heads * s_.head_dim;
    const auto layer = static_cast<uint32_t>(prefix[4] - '0');
    BufferId act = norm(prefix + "attn_norm", x);
    const BufferId q = buffer(BufferKind::F32, q_width), k = buffer(BufferKind::F32, kv_width),
                   v = buffer(BufferKind::F32, kv_width), out = buffer(BufferKind::F32, q_width);
    plan_.ops.push_back(
        LinearOp{act,
                 {weight(prefix + "q", {q_width, s_.dim}), weight(prefix + "k", {kv_width, s_.dim}),
                  weight(prefix + "v", {kv_width, s_.dim})},
                 {q, k, v},
                 false});
    plan_.ops.push_back(RopeStoreOp{q, k, v, layer, s_.heads, 0, false});
    plan_.ops.push_back(AttentionOp{q, out, layer, s_.heads, 0.18, 0});
    act = buffer(BufferKind::Act, q_width);
    plan_.ops.push_back(QuantizeOp{out, act});
    plan_.ops.push_back(LinearOp{act, {weight(prefix + "o", {s_.dim, q_width})}, {x}, true});
    act = norm(prefix + "ffn_norm", x);
    if (s_.experts != 0 && layer + 1 == s_.layers) return add_mixture(prefix, x, act);
    const BufferId gate = buffer(BufferKind::F32, s_.ffn), up = buffer(BufferKind::F32, s_.ffn);
    plan_.ops.push_back(LinearOp{
        act,
        {weight(prefix + "gate", {s_.ffn, s_.dim}), weight(prefix + "up", {s_.ffn, s_.dim})},
        {gate, up},
        false});
    act = buffer(BufferKind::Act, s_.ffn);
    plan_.ops.push_back(GluOp{gate, up, act});
    plan_.ops.push_back(LinearOp{act, {weight(prefix + "down", {s_.dim, s_.ffn})}, {x}, true});
  }

  void add_mixture(const std::string& prefix, BufferId x, BufferId act) {
    const uint64_t E = s_.experts, used = s_.used;
    const auto f32 = [&](uint64_t width) { return buffer(BufferKind::F32, width); };
    const auto matrices = [&](const std::string& name, uint64_t rows, uint64_t K) {
      const WeightId id = weight(prefix + name, {E * rows, K});
      plan_.weights[id].experts = E;
      return id;
    };
    const BufferId scores = f32(E), routes = f32(2 * used);
    plan_.ops.push_back(LinearOp{act, {weight(prefix + "router", {E, s_.dim})}, {scores}, false});
    plan_.ops.push_back(
        RouteOp{scores, routes, weight(prefix + "bias", {E}), used, Gating::Sigmoid, true, 1.5});
    ExpertsOp op{};
    op.act = act;
    op.routes = routes;
    op.out = x;
    op.weights = {matrices("gates", s_.ffn, s_.dim), matrices("ups", s_.ffn, s_.dim),
                  matrices("downs", s_.dim, s_.ffn)};
    op.used = used;
    op.accumulate = true;
    op.pairs = f32(2 * (used + E + 1));
    op.sorted = buffer(BufferKind::Act, used * s_.dim);
    op.gates = f32(used * s_.ffn);
    op.ups = f32(used * s_.ffn);
    op.hidden = buffer(BufferKind::Act, used * s_.ffn);
    op.rows = f32(used * (s_.dim + 16));
    plan_.ops.push_back(op);
  }

  TinyShape s_;
};

// Writes the plan's weights: matrices in `format`, vectors in F32.
inline void write_weights(const std::string& path, const Plan& plan, Format format) {
  gguf::Writer writer(path);
  writer.add_string("general.architecture", "tiny");
  const auto format_of = [&](const WeightSpec& w) {
    return w.shape.size() == 2 && w.name != "conv" ? format : Format::F32;
  };
  for (const WeightSpec& w : plan.weights) {
    std::vector<uint64_t> dims(w.shape.rbegin(), w.shape.rend());
    if (w.experts > 1) dims = {w.shape[1], w.shape[0] / w.experts, w.experts};
    writer.declare(w.name, type_info(format_of(w)).name, dims);
  }
  std::mt19937 rng(5);
  std::normal_distribution<float> normal(0.0f, 0.1f);
  for (const WeightSpec& w : plan.weights) {
    const TypeInfo type = type_info(format_of(w));
    const size_t rows = w.shape.size() == 2 ? w.shape[0] : 1, K = w.shape.back();
    std::vector<float> values(K);
    std::vector<uint8_t> row(K / type.block_values * type.block_bytes);
    for (size_t r = 0; r < rows; ++r) {
      for (float& value : values) value = normal(rng) + (w.shape.size() == 1 ? 1.0f : 0.0f);
      encode_row(type.format)(values.data(), row.data(), K);
      writer.write(w.name, row);
    }
  }
  writer.close();
}

}  // namespace gm::test
