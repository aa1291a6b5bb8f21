// SPDX-License-Identifier: MIT
// One function per operation; they only differ in which operands go where.
#include "runtime/compile.h"

#include "panels/panel.h"

namespace gm {
namespace {

class Compiler {
 public:
  explicit Compiler(const CompileInput& input) : in_(input) {}

  void compile(const Op& op, std::vector<Step>* steps) const {
    steps->push_back(std::visit([this](const auto& o) -> Step { return step(o); }, op));
    if (const auto* attend = std::get_if<AttentionOp>(&op))
      steps->push_back(AttentionMergeStep{attention(*attend)});
  }

 private:
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

  LinearPart linear(BufferId x, WeightId id, float* out, size_t out_stride, bool accumulate) const {
    const Weight& w = in_.weights[id];
    LinearPart part{};
    part.args.panels = w.panels;
    part.args.rows = w.rows;
    part.args.K = w.K;
    part.args.act = act(x, static_cast<size_t>(type_info(w.format).act));
    part.args.out = out;
    part.args.out_stride = out_stride;
    part.args.accumulate = accumulate;
    part.format = w.format;
    part.panels = (w.rows + kPanelRows - 1) / kPanelRows;
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
    return EmbedStep{decode_row(w.format), w.row_data, w.row_bytes, w.K, f32(o.out), stride(o.out)};
  }

  Step step(const RmsNormOp& o) const {
    NormStep step{};
    step.args.quant = quantize(o.x, o.act);
    step.args.weight = in_.weights[o.weight].values;
    step.args.eps = static_cast<float>(o.eps);
    if (o.out != kNone) {
      step.args.out = f32(o.out);
      step.args.out_stride = stride(o.out);
    }
    step.which = rows(o.x);
    return step;
  }

  Step step(const QuantizeOp& o) const { return QuantizeStep{quantize(o.x, o.act), rows(o.x)}; }

  Step step(const SwigluOp& o) const {
    SwigluStep step{};
    step.args.quant = quantize(o.gate, o.act);
    step.args.up = f32(o.up);
    step.args.up_stride = stride(o.up);
    step.which = rows(o.gate);
    return step;
  }

  Step step(const LinearOp& o) const {
    LinearStep step{};
    for (size_t i = 0; i < o.weights.size(); ++i) {
      step.parts.push_back(
          linear(o.act, o.weights[i], f32(o.outs[i]), stride(o.outs[i]), o.accumulate));
    }
    step.which = rows(o.act);
    return step;
  }

  Step step(const LogitsOp& o) const {
    LinearStep step{};
    step.parts.push_back(linear(o.act, o.weight, in_.logits, in_.plan.vocab_size, false));
    step.which = BufferRows::Logits;
    return step;
  }

  Step step(const RopeStoreOp& o) const {
    const KvSpec& kv = in_.plan.layers[o.layer];
    RopeStoreStep step{};
    step.q = rope(o.q, o.heads, kv.head_dim, o);
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
    return args;
  }

  Step step(const AttentionOp& o) const { return AttentionStep{attention(o), in_.cache.type()}; }

  Step step(const SelectRowsOp& o) const {
    return SelectStep{f32(o.x), stride(o.x), width(o.x), f32(o.out), stride(o.out)};
  }

  const CompileInput& in_;
};

}  // namespace

std::vector<Step> compile_steps(const CompileInput& input) {
  const Compiler compiler(input);
  std::vector<Step> steps;
  for (const Op& op : input.plan.ops) compiler.compile(op, &steps);
  steps.push_back(
      LogitBlocksStep{input.logits, input.plan.vocab_size, input.block_best, input.block_sum});
  return steps;
}

}  // namespace gm
