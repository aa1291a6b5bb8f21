// SPDX-License-Identifier: MIT
// One walk over the operations: each checks its own operands, and the walk checks what holds for
// all of them (defined before read, defined once). Lifetimes then tell whether slots are shared
// rightly. Widths are bounded first, so the products below cannot overflow.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "formats/format.h"
#include "kernels/kernel_table.h"
#include "plan/operand_check.h"
#include "plan/recurrent_check.h"
#include "plan/validate.h"

namespace gm {
namespace {

class StructureCheck : private OperandCheck {
 public:
  explicit StructureCheck(const Plan& plan)
      : OperandCheck(plan),
        first_(plan.buffers.size(), kNone),
        last_(plan.buffers.size(), kNone),
        stored_(plan.layers.size(), false),
        kept_(plan.states.size(), false) {}

  void run() {
    check_tables();
    for (const Op& op : plan_.ops) {
      check_ids(uses_of(op));
      std::visit([this](const auto& o) { check(o); }, op);
      record(uses_of(op));
      ++index_;
    }
    if (plan_.ops.empty() || !(std::holds_alternative<LogitsOp>(plan_.ops.back()) ||
                               std::holds_alternative<OutputOp>(plan_.ops.back()))) {
      throw FormatError("[plan] The last operation is logits or output. Got " +
                        text(plan_.ops.size()) + " operations that do not end in it.");
    }
    check_lifetimes();
    for (size_t id = 0; id < kept_.size(); ++id)
      format(kept_[id], "State " + text(id) + " is kept by no operation.");
  }

 private:
  // -- what holds for every operation
  void check_ids(const OpUse& use) const {
    for (const auto* ids : {&use.reads, &use.changes, &use.defines}) {
      for (const BufferId id : *ids) {
        format(id < plan_.buffers.size(), "Buffer " + text(id) + " does not exist.");
      }
    }
    for (const auto* ids : {&use.reads, &use.changes}) {
      for (const BufferId id : *ids) {
        format(first_[id] != kNone, "Buffer " + text(id) + " is read before it is written.");
      }
    }
    for (size_t i = 0; i < use.defines.size(); ++i) {
      const BufferId id = use.defines[i];
      const auto before = use.defines.begin() + static_cast<ptrdiff_t>(i);
      format(first_[id] == kNone && std::find(use.defines.begin(), before, id) == before,
             "Buffer " + text(id) + " is defined twice.");
    }
    for (size_t i = 0; i < use.changes.size(); ++i) {
      const BufferId id = use.changes[i];
      const auto before = use.changes.begin() + static_cast<ptrdiff_t>(i);
      format(routed_.count(id) == 0, "Routes " + text(id) + " are not changed.");
      const auto& reads = use.reads;
      shape(std::find(use.changes.begin(), before, id) == before &&
                std::find(reads.begin(), reads.end(), id) == reads.end(),
            "Buffer " + text(id) + " is changed in place and used again by the same operation.");
    }
  }

  void record(const OpUse& use) {
    for (const BufferId id : use.defines) first_[id] = last_[id] = static_cast<uint32_t>(index_);
    for (const auto* ids : {&use.reads, &use.changes}) {
      for (const BufferId id : *ids) last_[id] = static_cast<uint32_t>(index_);
    }
  }

  // -- operands
  const KvSpec& layer(uint32_t id, uint64_t heads) const {
    format(id < plan_.layers.size(), "Layer " + text(id) + " does not exist.");
    const KvSpec& kv = plan_.layers[id];
    format(heads >= 1 && heads <= kMaxHeads && heads % kv.heads == 0,
           "Query heads are a multiple of the KV heads. Got " + text(heads) + " for " +
               text(kv.heads) + ".");
    format(heads / kv.heads <= kMaxGroup, "At most " + text(kMaxGroup) +
                                              " query heads share a KV head. Got " +
                                              text(heads / kv.heads) + ".");
    return kv;
  }

  // -- one per operation
  void check(const EmbedOp& o) const {
    const WeightSpec& w = weight(o.weight, 2);
    same(w.shape[0], plan_.vocab_size, "The number of rows of '" + w.name + "'");
    same(f32(o.out, BufferRows::Batch), w.shape[1], "The width of the output");
    positive(o.scale, 1e6, "The scale of embeddings");
  }

  void check(const AddRowsOp& o) const {
    const WeightSpec& w = weight(o.weight, 2);
    same(f32(o.out, BufferRows::Batch), w.shape[1], "The width of the output");
    format(w.of_rows == 0, "Rows are added from a whole matrix. Got a slice of '" + w.name + "'.");
  }

  void check(const RmsNormOp& o) const {
    const uint64_t width = f32(o.x, rows_of(o.x));
    const WeightSpec& w = weight(o.weight, 1);
    format(o.heads >= 1 && width % o.heads == 0, "A norm is over heads of one length. Got " +
                                                     text(o.heads) + " in " + text(width) +
                                                     " values.");
    same(w.shape[0], width / o.heads, "The length of '" + w.name + "'");
    norm(o, width);
    format(!o.accumulate || (o.act == kNone && o.out != kNone),
           "A norm that is added to a buffer has no activations.");
  }

  void check(const LayerNormOp& o) const {
    const uint64_t width = f32(o.x, rows_of(o.x));
    same(weight(o.weight, 1).shape[0], width, "The length of the weight");
    if (o.bias != kNone) same(weight(o.bias, 1).shape[0], width, "The length of the bias");
    norm(o, width);
  }

  template <class NormOp>
  void norm(const NormOp& o, uint64_t width) const {
    format(std::isfinite(o.eps) && o.eps >= 0 && o.eps <= 1,
           "eps is 0 to 1. Got " + std::to_string(o.eps) + ".");
    format(o.act != kNone || o.out != kNone, "A norm has an output.");
    if (o.act != kNone) same(act(o.act, rows_of(o.x)), width, "The width of the activations");
    if (o.out != kNone) same(f32(o.out, rows_of(o.x)), width, "The width of the output");
  }

  void check(const QuantizeOp& o) const {
    same(act(o.act, rows_of(o.x)), f32(o.x, rows_of(o.x)), "The width of the activations");
  }

  void check(const LinearOp& o) const {
    const uint64_t width = act(o.act, rows_of(o.act));
    format(!o.weights.empty() && o.weights.size() == o.outs.size() && o.weights.size() <= 64,
           "A linear group has 1 to 64 weights and as many outputs. Got " + text(o.weights.size()) +
               " and " + text(o.outs.size()) + ".");
    for (const auto* ids : {&o.biases, &o.factors})
      format(ids->empty() || ids->size() == o.weights.size(),
             "A linear group has no biases and factors or one per weight. Got " +
                 text(ids->size()) + ".");
    for (size_t i = 0; i < o.weights.size(); ++i) {
      const WeightSpec& w = weight(o.weights[i], 2);
      same(width, w.shape[1], "The row length of '" + w.name + "'");
      same(f32(o.outs[i], rows_of(o.act)), w.shape[0], "The number of rows of '" + w.name + "'");
      if (!o.biases.empty() && o.biases[i] != kNone)
        same(weight(o.biases[i], 1).shape[0], w.shape[0], "The length of the bias");
      if (o.factors.empty() || o.factors[i] == kNone) continue;
      same(weight(o.factors[i], 1).shape[0], 1, "The length of the factor");
      format(o.biases.empty() || o.biases[i] == kNone, "A weight has a factor or a bias.");
    }
    positive(o.scale, 1e6, "The scale of a linear layer");
  }

  void check(const RopeStoreOp& o) {
    const KvSpec& kv = layer(o.layer, o.heads);
    same(f32(o.q, BufferRows::Batch), o.heads * kv.head_dim, "The width of q");
    same(f32(o.k, BufferRows::Batch), kv.heads * kv.head_dim, "The width of k");
    same(f32(o.v, BufferRows::Batch), kv.heads * kv.head_dim, "The width of v");
    if (o.rope != kNone) {
      format(o.rope < plan_.ropes.size(), "Rope table " + text(o.rope) + " does not exist.");
      const uint64_t n_rot = plan_.ropes[o.rope].n_rot;
      shape(n_rot <= kv.head_dim, "A head has " + text(kv.head_dim) +
                                      " values, fewer than the rotated " + text(n_rot) + ".");
    }
    format(!stored_[o.layer], "Layer " + text(o.layer) + " is stored twice.");
    stored_[o.layer] = true;
  }

  void check(const AttentionOp& o) {
    const KvSpec& kv = layer(o.layer, o.heads);
    same(f32(o.q, BufferRows::Batch), o.heads * kv.head_dim, "The width of q");
    same(f32(o.out, BufferRows::Batch), o.heads * kv.head_dim, "The width of the output");
    positive(o.scale, 1e6, "The attention scale");
    softcap(o.softcap);
    if (o.sinks != kNone) same(weight(o.sinks, 1).shape[0], o.heads, "The number of sinks");
    format(stored_[o.layer], "Layer " + text(o.layer) + " is read before it is stored.");
    if (o.bidirectional) stored_[o.layer] = false;  // done with: nothing after the batch reads it
  }

  void check(const GluOp& o) const {
    const uint64_t width = f32(o.gate, rows_of(o.gate));
    if (o.up != kNone) same(f32(o.up, rows_of(o.gate)), width, "The width of up");
    same(act(o.act, rows_of(o.gate)), width, "The width of the activations");
  }

  void check(const RouteOp& o) {
    const uint64_t experts = f32(o.x, BufferRows::Batch);
    const uint64_t most = std::min<uint64_t>(experts, kMaxExpertsUsed);
    format(o.used >= 1 && o.used <= most && experts <= kMaxExperts,
           "Of up to " + text(kMaxExperts) + " experts 1 to " + text(kMaxExpertsUsed) +
               " are used. Got " + text(o.used) + " of " + text(experts) + ".");
    same(f32(o.routes, BufferRows::Batch), 2 * o.used, "The width of the routes");
    if (o.bias != kNone) same(weight(o.bias, 1).shape[0], experts, "The length of the bias");
    positive(o.scale, 1e6, "The scale of shares");
    routed_[o.routes] = experts;
  }

  void check(const ExpertsOp& o) const {
    const auto routed = routed_.find(o.routes);
    format(routed != routed_.end(), "Routes come from the operation route.");
    const uint64_t E = routed->second, D = act(o.act, BufferRows::Batch);
    same(2 * o.used, f32(o.routes, BufferRows::Batch), "The number of experts used");
    same(f32(o.out, BufferRows::Batch), D, "The width of the output");
    format(o.weights.size() == 3,
           "Experts have gates, ups and downs. Got " + text(o.weights.size()) + " weights.");
    const uint64_t F = weight(o.weights[0], 2).shape[0] / E;
    format(o.biases.empty() || o.biases.size() == 3,
           "Experts have three biases or none. Got " + text(o.biases.size()) + ".");
    for (size_t i = 0; i < 3; ++i) {
      const WeightSpec& w = weight(o.weights[i], 2);
      const uint64_t rows = i == 2 ? D : F, length = i == 2 ? F : D;
      same(w.experts, E, "The number of experts of '" + w.name + "'");
      same(w.shape[0], E * rows, "The number of rows of '" + w.name + "'");
      same(w.shape[1], length, "The row length of '" + w.name + "'");
      if (!o.biases.empty() && o.biases[i] != kNone)
        shape(weight(o.biases[i], 2).shape == std::vector{E, rows}, "A bias does not fit.");
    }
    same(f32(o.pairs, BufferRows::Batch), 2 * (o.used + E + 1), "The width of the pairs");
    same(act(o.sorted, BufferRows::Batch), o.used * D, "The width of the sorted activations");
    same(act(o.hidden, BufferRows::Batch), o.used * F, "The width of the hidden activations");
    work(o.gates, o.used, F, "gates");
    work(o.ups, o.used, F, "ups");
    work(o.rows, o.used, D, "rows");
  }
  void work(BufferId id, uint64_t used, uint64_t width, const std::string& what) const {
    const uint64_t got = f32(id, BufferRows::Batch);
    shape(got % used == 0 && got / used >= width,
          "The width of the " + what + " does not fit. Got " + text(got) + ", expected " +
              text(used) + " times " + text(width) + " or more.");
  }

  void check(const ShortConvOp& o) { keep(o.state, short_conv_values(*this, o)); }
  void check(const DeltaRuleOp& o) { keep(o.state, delta_rule_values(*this, o)); }
  void check(const SplitHeadsOp& o) const { check_split_heads(*this, o); }

  void keep(uint32_t state, uint64_t values) {
    format(state < plan_.states.size(), "State " + text(state) + " does not exist.");
    same(plan_.states[state].values, values, "The size of the state");
    format(!kept_[state], "State " + text(state) + " is kept by two operations.");
    kept_[state] = true;
  }

  void check(const SelectRowsOp& o) const {
    same(f32(o.out, BufferRows::Logits), f32(o.x, BufferRows::Batch), "The width of the output");
  }

  void check(const LogitsOp& o) const {
    const WeightSpec& w = weight(o.weight, 2);
    same(act(o.act, BufferRows::Logits), w.shape[1], "The row length of '" + w.name + "'");
    same(w.shape[0], plan_.vocab_size, "The number of rows of '" + w.name + "'");
    positive(o.scale, 1e6, "The scale of logits");
    softcap(o.softcap);
    format(index_ + 1 == plan_.ops.size(), "Logits are the last operation.");
  }

  void check(const OutputOp& o) const {
    f32(o.x, BufferRows::Logits);
    format(index_ + 1 == plan_.ops.size(), "The output is the last operation.");
  }

  // -- lifetimes: first_ to last_, both included
  void check_lifetimes() {
    index_ = plan_.ops.size();
    std::vector<BufferId> order;
    for (BufferId id = 0; id < plan_.buffers.size(); ++id) {
      format(first_[id] != kNone, "Buffer " + text(id) + " is never written.");
      const bool works = std::holds_alternative<ExpertsOp>(plan_.ops[first_[id]]);
      const bool act = plan_.buffers[id].kind == BufferKind::Act;
      const bool unread = act && !works && first_[id] == last_[id];
      format(!unread, "Activations " + text(id) + " are never read.");
      order.push_back(id);
    }
    const auto key = [&](BufferId id) {
      return std::pair<uint32_t, uint32_t>(plan_.buffers[id].slot, first_[id]);
    };
    std::sort(order.begin(), order.end(), [&](BufferId a, BufferId b) { return key(a) < key(b); });
    for (size_t i = 1; i < order.size(); ++i) {
      const BufferId a = order[i - 1], b = order[i];
      shape(plan_.buffers[a].slot != plan_.buffers[b].slot || last_[a] < first_[b],
            "Buffers " + text(a) + " and " + text(b) + " share slot " +
                text(plan_.buffers[a].slot) + " while both are in use.");
    }
  }

  std::vector<uint32_t> first_, last_;   // operation that defines a buffer, and that uses it last
  std::vector<bool> stored_;             // layers whose cache has been written
  std::map<BufferId, uint64_t> routed_;  // routes -> experts among which they choose
  std::vector<bool> kept_;               // states that an operation has
};

}  // namespace

void validate_structure(const Plan& plan) { StructureCheck(plan).run(); }

}  // namespace gm
