// SPDX-License-Identifier: MIT
// One function per operation; they only differ in which operands go where.
#include "runtime/compile.h"

#include "panels/panel.h"

namespace gm {
namespace {

class Compiler {
 public:
  explicit Compiler(const CompileInput& input) : in_(input) {}

  Step step(const Tap& tap) const {
    const auto kind = type_info(in_.weights[tap.op->weights[0]].format).act;
    return TapStep{kind, act(tap.op->act, static_cast<size_t>(kind)), tap.K, tap.values, tap.rows};
  }

  void compile(const Op& op, std::vector<Step>* steps) const {
    std::visit([&](const auto& o) { add(o, steps); }, op);
    if (const auto* attend = std::get_if<AttentionOp>(&op);
        attend != nullptr && !attend->bidirectional)
      steps->push_back(AttentionMergeStep{attention(*attend)});
    if (const auto* conv = std::get_if<ShortConvOp>(&op))
      steps->push_back(ShortConvKeepStep{short_conv(*conv)});
    if (const auto* delta = std::get_if<DeltaRuleOp>(&op))
      steps->push_back(DeltaRuleStep{delta_rule(*delta)});
    if (const auto* logits = std::get_if<LogitsOp>(&op); logits != nullptr && logits->softcap != 0)
      steps->push_back(
          SoftCapStep{in_.logits, in_.plan.vocab_size, static_cast<float>(logits->softcap)});
  }

 private:
  template <class O>
  void add(const O& o, std::vector<Step>* steps) const {
    steps->push_back(step(o));
  }

  float* f32(BufferId id) const {
    return reinterpret_cast<float*>(in_.arena + in_.layout.buffers[id].offset);
  }
  size_t stride(BufferId id) const { return in_.layout.buffers[id].stride; }
  size_t width(BufferId id) const { return in_.plan.buffers[id].width; }
  BufferRows rows(BufferId id) const { return in_.plan.buffers[id].rows; }
  uint32_t* act(BufferId id, size_t kind) const {
    return reinterpret_cast<uint32_t*>(in_.arena + in_.layout.buffers[id].act_offset[kind]);
  }

  // x -> act; kNone: no activations are wanted.
  QuantizeArgs quantize(BufferId x, BufferId to) const {
    QuantizeArgs args{};
    args.x = f32(x);
    args.stride = stride(x);
    args.K = width(x);
    if (to == kNone) return args;
    for (size_t kind = 0; kind < kActKindCount; ++kind) {
      if (in_.layout.buffers[to].wanted[kind]) args.act[kind] = act(to, kind);
    }
    return args;
  }

  // out and its stride are left to the caller.
  LinearPart linear(BufferId x, WeightId id, double scale) const {
    const Weight& w = in_.weights[id];
    LinearPart part{};
    part.args.panels = w.panels;
    part.args.rows = w.rows;
    part.args.K = w.K;
    part.args.act = act(x, static_cast<size_t>(type_info(w.format).act));
    part.args.scale = static_cast<float>(scale);
    part.format = w.format;
    part.panels = ceil_div(w.rows, kPanelRows);
    part.panel_bytes = panel_bytes(w.format, w.K);
    return part;
  }

  RopeArgs rope(BufferId x, size_t heads, size_t head_dim, const RopeStoreOp& o) const {
    RopeArgs args{};
    args.x = f32(x);
    args.stride = stride(x);
    args.heads = heads;
    args.D = head_dim;
    if (o.rope == kNone) return args;
    args.n_rot = in_.plan.ropes[o.rope].n_rot;
    args.cos_sin = in_.ropes.tables[o.rope].cos_sin();
    args.neox = o.neox;
    return args;
  }

  Step step(const EmbedOp& o) const {
    const Weight& w = in_.weights[o.weight];
    return EmbedStep{
        decode_row(w.format),       w.row_data, w.row_bytes, w.K, f32(o.out), stride(o.out),
        static_cast<float>(o.scale)};
  }

  Step step(const AddRowsOp& o) const {
    const Weight& w = in_.weights[o.weight];
    return AddRowsStep{decode_row(w.format), w.row_data,    w.row_bytes, w.K,
                       f32(o.out),           stride(o.out), o.index};
  }

  Step step(const LayerNormOp& o) const {
    LayerNormStep step{};
    step.args.quant = quantize(o.x, o.act);
    step.args.weight = in_.weights[o.weight].values;
    step.args.bias = o.bias == kNone ? nullptr : in_.weights[o.bias].values;
    step.args.eps = static_cast<float>(o.eps);
    if (o.out != kNone) {
      step.args.out = f32(o.out);
      step.args.out_stride = stride(o.out);
    }
    step.which = rows(o.x);
    return step;
  }

  Step step(const RmsNormOp& o) const {
    NormStep step{};
    step.args.quant = quantize(o.x, o.act);
    step.args.weight = in_.weights[o.weight].values;
    step.args.eps = static_cast<float>(o.eps);
    step.args.heads = o.heads;
    step.args.accumulate = o.accumulate;
    if (o.out != kNone) {
      step.args.out = f32(o.out);
      step.args.out_stride = stride(o.out);
    }
    step.which = rows(o.x);
    return step;
  }

  Step step(const QuantizeOp& o) const { return QuantizeStep{quantize(o.x, o.act), rows(o.x)}; }

  Step step(const GluOp& o) const {
    GluStep step{};
    step.args.quant = quantize(o.gate, o.act);
    if (o.up != kNone) {
      step.args.up = f32(o.up);
      step.args.up_stride = stride(o.up);
    }
    step.activation = o.activation;
    step.which = rows(o.gate);
    return step;
  }

  Step step(const LinearOp& o) const {
    LinearStep step{};
    for (size_t i = 0; i < o.weights.size(); ++i) {
      LinearPart part = linear(o.act, o.weights[i], o.scale);
      part.args.out = f32(o.outs[i]);
      part.args.out_stride = stride(o.outs[i]);
      part.args.accumulate = o.accumulate;
      if (!o.biases.empty() && o.biases[i] != kNone)
        part.args.bias = in_.weights[o.biases[i]].values;
      if (!o.factors.empty() && o.factors[i] != kNone)
        part.args.scale *= *in_.weights[o.factors[i]].values;
      step.parts.push_back(part);
    }
    step.which = rows(o.act);
    return step;
  }

  Step step(const LogitsOp& o) const {
    LinearStep step{};
    LinearPart part = linear(o.act, o.weight, o.scale);
    part.args.out = in_.logits;
    part.args.out_stride = in_.plan.vocab_size;
    step.parts.push_back(part);
    step.which = BufferRows::Logits;
    return step;
  }

  Step step(const RopeStoreOp& o) const {
    const KvSpec& kv = in_.plan.layers[o.layer];
    RopeStoreStep step{};
    step.q = rope(o.q, o.heads, kv.head_dim, o);
    if (o.rope != kNone) step.q.scales = in_.ropes.tables[o.rope].query_scales();
    step.k = rope(o.k, kv.heads, kv.head_dim, o);
    step.store.k = f32(o.k);
    step.store.v = f32(o.v);
    step.store.k_stride = stride(o.k);
    step.store.v_stride = stride(o.v);
    step.store.G = kv.heads;
    step.store.D = kv.head_dim;
    step.store.k_pages = in_.cache.k_pages(o.layer);
    step.store.v_pages = in_.cache.v_pages(o.layer);
    step.kv = in_.cache.type();
    return step;
  }

  AttentionArgs attention(const AttentionOp& o) const {
    const KvSpec& kv = in_.plan.layers[o.layer];
    AttentionArgs args{};
    args.q = f32(o.q);
    args.q_stride = stride(o.q);
    args.out = f32(o.out);
    args.out_stride = stride(o.out);
    args.H = o.heads;
    args.G = kv.heads;
    args.D = kv.head_dim;
    args.k_pages = in_.cache.k_pages(o.layer);
    args.v_pages = in_.cache.v_pages(o.layer);
    args.scale = static_cast<float>(o.scale);
    args.window = o.window;
    args.softcap = static_cast<float>(o.softcap);
    args.sinks = o.sinks == kNone ? nullptr : in_.weights[o.sinks].values;
    return args;
  }

  Step step(const AttentionOp& o) const {
    return AttentionStep{attention(o), in_.cache.type(), o.bidirectional};
  }

  Step step(const RouteOp& o) const {
    RouteArgs args{};
    args.x = f32(o.x);
    args.stride = stride(o.x);
    args.E = width(o.x);
    args.used = o.used;
    args.bias = o.bias == kNone ? nullptr : in_.weights[o.bias].values;
    args.gating = o.gating;
    args.normalise = o.normalise;
    args.scale = static_cast<float>(o.scale);
    args.routes = f32(o.routes);
    args.routes_stride = stride(o.routes);
    return RouteStep{args};
  }

  // A product per pair, for the i-th matrix of the experts.
  LinearPart expert_part(const ExpertsOp& o, size_t i, BufferId x, BufferId out) const {
    LinearPart part = linear(x, o.weights[i], 1.0);
    const size_t experts = in_.plan.weights[o.weights[i]].experts;
    part.args.rows /= experts;
    part.panels = ceil_div(part.args.rows, kPanelRows);
    part.args.out = f32(out);
    part.args.out_stride = width(out) / o.used;
    if (!o.biases.empty() && o.biases[i] != kNone) part.args.bias = in_.weights[o.biases[i]].values;
    return part;
  }

  void add(const ExpertsOp& o, std::vector<Step>* steps) const {
    const size_t D = width(o.act), F = width(o.hidden) / o.used;
    const size_t E = in_.plan.weights[o.weights[0]].experts;
    const ExpertPairs pairs{f32(o.routes), stride(o.routes), E, o.used,
                            reinterpret_cast<uint32_t*>(f32(o.pairs))};
    GatherStep gather{pairs, {}};
    gather.args.K = D;
    for (size_t kind = 0; kind < kActKindCount; ++kind) {
      if (!in_.layout.buffers[o.sorted].wanted[kind]) continue;
      gather.args.from[kind] = act(o.act, kind);
      gather.args.to[kind] = act(o.sorted, kind);
    }
    const auto single = [&](WeightId id) {
      return act(o.act, static_cast<size_t>(type_info(in_.weights[id].format).act));
    };
    ExpertsGluStep glu{pairs, {}, o.activation};
    glu.args.quant = quantize(o.gates, o.hidden);
    glu.args.quant.stride = width(o.gates) / o.used;
    glu.args.quant.K = F;
    glu.args.up = f32(o.ups);
    glu.args.up_stride = width(o.ups) / o.used;
    const CombineArgs sum{
        f32(o.rows),           width(o.rows) / o.used, D,          o.used,        nullptr,
        pairs.routes + o.used, pairs.routes_stride,    f32(o.out), stride(o.out), o.accumulate};
    steps->push_back(SortPairsStep{pairs});
    steps->push_back(gather);
    steps->push_back(ExpertsLinearStep{
        pairs,
        {expert_part(o, 0, o.sorted, o.gates), expert_part(o, 1, o.sorted, o.ups)},
        {single(o.weights[0]), single(o.weights[1])}});
    steps->push_back(glu);
    steps->push_back(ExpertsLinearStep{pairs, {expert_part(o, 2, o.hidden, o.rows)}, {nullptr}});
    steps->push_back(CombineStep{pairs, sum});
  }

  ShortConvArgs short_conv(const ShortConvOp& o) const {
    ShortConvArgs args{};
    args.x = f32(o.x);
    args.x_stride = stride(o.x);
    if (o.gate != kNone) {
      args.gate = f32(o.gate);
      args.gate_stride = stride(o.gate);
    }
    args.out = f32(o.out);
    args.out_stride = stride(o.out);
    args.channels = width(o.x);
    args.taps = in_.weights[o.weight].K;
    args.weight = in_.weights[o.weight].values;
    if (o.bias != kNone) args.bias = in_.weights[o.bias].values;
    args.history = in_.states.values(o.state);
    args.silu = o.silu;
    return args;
  }

  Step step(const ShortConvOp& o) const { return ShortConvStep{short_conv(o)}; }

  DeltaRuleArgs delta_rule(const DeltaRuleOp& o) const {
    DeltaRuleArgs args{};
    args.qkv = f32(o.qkv);
    args.qkv_stride = stride(o.qkv);
    args.alpha = f32(o.alpha);
    args.alpha_stride = stride(o.alpha);
    args.beta = f32(o.beta);
    args.beta_stride = stride(o.beta);
    args.out = f32(o.out);
    args.out_stride = stride(o.out);
    args.G = o.key_heads;
    args.H = o.heads;
    args.K = o.key_dim;
    args.V = o.value_dim;
    args.rate = in_.weights[o.rate].values;
    args.shift = in_.weights[o.shift].values;
    args.eps = static_cast<float>(o.eps);
    args.state = in_.states.values(o.state);
    return args;
  }

  Step step(const DeltaRuleOp& o) const { return DeltaPrepareStep{delta_rule(o)}; }

  Step step(const SplitHeadsOp& o) const {
    return SplitHeadsStep{f32(o.x),      stride(o.x),      f32(o.first), stride(o.first),
                          f32(o.second), stride(o.second), o.heads,      width(o.first) / o.heads};
  }

  Step step(const SelectRowsOp& o) const {
    return SelectStep{f32(o.x), stride(o.x), width(o.x), f32(o.out), stride(o.out), o.pool};
  }

  Step step(const OutputOp& o) const {
    return OutputStep{f32(o.x), stride(o.x), width(o.x), in_.logits};
  }

  const CompileInput& in_;
};

}  // namespace

std::vector<Step> compile_steps(const CompileInput& input) {
  const Compiler compiler(input);
  std::vector<Step> steps;
  const Tap* tap = input.taps == nullptr ? nullptr : input.taps->all().data();
  for (const Op& op : input.plan.ops) {
    if (tap != nullptr && std::holds_alternative<LinearOp>(op))
      steps.push_back(compiler.step(*tap++));
    compiler.compile(op, &steps);
  }
  if (std::holds_alternative<LogitsOp>(input.plan.ops.back())) {
    steps.push_back(
        LogitBlocksStep{input.logits, input.plan.vocab_size, input.block_best, input.block_sum});
  }
  return steps;
}

}  // namespace gm
