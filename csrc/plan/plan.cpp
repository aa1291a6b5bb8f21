// SPDX-License-Identifier: MIT
// The one place that knows which operands of each operation are read, changed and defined.
#include "plan/plan.h"

#include <algorithm>
#include <array>

namespace gm {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

// Ids beyond the lists are possible in a plan that was not validated: they are skipped.
template <class Mark>
void mark(std::vector<WeightUse>& uses, WeightId id, Mark&& set) {
  if (id < uses.size()) set(uses[id]);
}

}  // namespace

std::string_view op_name(const Op& op) noexcept {
  static constexpr std::array<std::string_view, std::variant_size_v<Op>> kNames = {
      "embed",      "add_rows",    "rms_norm",    "layer_norm", "quantize", "linear",
      "rope_store", "attention",   "glu",         "route",      "experts",  "short_conv",
      "delta_rule", "split_heads", "select_rows", "logits",     "output"};
  return kNames[op.index()];
}

OpUse uses_of(const Op& op) {
  return std::visit(
      Overloaded{
          [](const EmbedOp& o) { return OpUse{{}, {}, {o.out}}; },
          [](const AddRowsOp& o) { return OpUse{{}, {o.out}, {}}; },
          [](const LayerNormOp& o) {
            OpUse use{{o.x}, {}, {}};
            for (const BufferId id : {o.act, o.out})
              if (id != kNone) use.defines.push_back(id);
            return use;
          },
          [](const RmsNormOp& o) {
            OpUse use{{o.x}, {}, {}};
            if (o.act != kNone) use.defines.push_back(o.act);
            if (o.out != kNone) (o.accumulate ? use.changes : use.defines).push_back(o.out);
            return use;
          },
          [](const QuantizeOp& o) { return OpUse{{o.x}, {}, {o.act}}; },
          [](const LinearOp& o) {
            return o.accumulate ? OpUse{{o.act}, o.outs, {}} : OpUse{{o.act}, {}, o.outs};
          },
          [](const RopeStoreOp& o) { return OpUse{{o.v}, {o.q, o.k}, {}}; },
          [](const AttentionOp& o) { return OpUse{{o.q}, {}, {o.out}}; },
          [](const GluOp& o) {
            OpUse use{{o.gate}, {}, {o.act}};
            if (o.up != kNone) use.reads.push_back(o.up);
            return use;
          },
          [](const RouteOp& o) { return OpUse{{o.x}, {}, {o.routes}}; },
          [](const ExpertsOp& o) {
            OpUse use{{o.act, o.routes}, {}, {o.pairs, o.sorted, o.gates, o.ups, o.hidden, o.rows}};
            (o.accumulate ? use.changes : use.defines).push_back(o.out);
            return use;
          },
          [](const ShortConvOp& o) {
            OpUse use{{o.x}, {}, {o.out}};
            if (o.gate != kNone) use.reads.push_back(o.gate);
            return use;
          },
          [](const DeltaRuleOp& o) { return OpUse{{}, {o.qkv, o.alpha, o.beta}, {o.out}}; },
          [](const SplitHeadsOp& o) { return OpUse{{o.x}, {}, {o.first, o.second}}; },
          [](const SelectRowsOp& o) { return OpUse{{o.x}, {}, {o.out}}; },
          [](const OutputOp& o) { return OpUse{{o.x}, {}, {}}; },
          [](const LogitsOp& o) { return OpUse{{o.act}, {}, {}}; },
      },
      op);
}

std::vector<WeightUse> weight_uses(const Plan& plan) {
  std::vector<WeightUse> uses(plan.weights.size());
  const auto rows = [](WeightUse& use) { use.rows = true; };
  const auto panels = [](WeightUse& use) { use.panels = true; };
  const auto vector = [](WeightUse& use) { use.vector = true; };
  for (const Op& op : plan.ops) {
    if (const auto* embed = std::get_if<EmbedOp>(&op)) mark(uses, embed->weight, rows);
    if (const auto* add = std::get_if<AddRowsOp>(&op)) mark(uses, add->weight, rows);
    if (const auto* norm = std::get_if<RmsNormOp>(&op)) mark(uses, norm->weight, vector);
    if (const auto* norm = std::get_if<LayerNormOp>(&op)) {
      mark(uses, norm->weight, vector);
      mark(uses, norm->bias, vector);
    }
    if (const auto* attention = std::get_if<AttentionOp>(&op)) mark(uses, attention->sinks, vector);
    if (const auto* logits = std::get_if<LogitsOp>(&op)) mark(uses, logits->weight, panels);
    if (const auto* linear = std::get_if<LinearOp>(&op)) {
      for (const WeightId id : linear->weights) mark(uses, id, panels);
      for (const auto* ids : {&linear->biases, &linear->factors})
        for (const WeightId id : *ids) mark(uses, id, vector);
    }
    if (const auto* conv = std::get_if<ShortConvOp>(&op)) {
      mark(uses, conv->weight, [](WeightUse& use) { use.columns = true; });
      mark(uses, conv->bias, vector);
    }
    if (const auto* delta = std::get_if<DeltaRuleOp>(&op)) {
      for (const WeightId id : {delta->rate, delta->shift}) mark(uses, id, vector);
    }
  }
  for (const Op& op : plan.ops) {
    if (const auto* route = std::get_if<RouteOp>(&op)) mark(uses, route->bias, vector);
    const auto* experts = std::get_if<ExpertsOp>(&op);
    if (experts == nullptr) continue;
    for (const WeightId id : experts->weights) mark(uses, id, panels);
    for (const WeightId id : experts->biases) mark(uses, id, vector);
  }
  for (const RopeSpec& rope : plan.ropes) {
    mark(uses, rope.factors, vector);
    mark(uses, rope.long_factors, vector);
  }
  return uses;
}

PlanTraits traits_of(const Plan& plan) {
  PlanTraits traits;
  traits.output_width = plan.vocab_size;
  for (const Op& op : plan.ops) {
    if (const auto* add = std::get_if<AddRowsOp>(&op)) {
      uint64_t& rows = add->index == RowIndex::Position ? traits.positions : traits.types;
      rows = std::min(rows, plan.weights[add->weight].shape[0]);
    }
    if (const auto* attend = std::get_if<AttentionOp>(&op))
      traits.whole_texts = traits.whole_texts || attend->bidirectional;
    if (const auto* select = std::get_if<SelectRowsOp>(&op))
      traits.one_row = traits.one_row || select->pool != Pool::Last;
    if (const auto* output = std::get_if<OutputOp>(&op)) {
      traits.output_width = plan.buffers[output->x].width;
      traits.logits = false;
    }
  }
  traits.whole_texts = traits.whole_texts || traits.one_row;
  return traits;
}

}  // namespace gm
