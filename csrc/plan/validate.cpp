// SPDX-License-Identifier: MIT
// One walk over the operations: each checks its own operands, and the walk checks what holds for
// all of them (defined before read, defined once). Lifetimes then tell whether slots are shared
// rightly. Widths are bounded first, so the products below cannot overflow.
#include "plan/validate.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/format.h"
#include "kernels/kernel_table.h"

namespace gm {
namespace {

std::string text(uint64_t value) { return std::to_string(value); }

class StructureCheck {
 public:
  explicit StructureCheck(const Plan& plan)
      : plan_(plan),
        first_(plan.buffers.size(), kNone),
        last_(plan.buffers.size(), kNone),
        stored_(plan.layers.size(), false) {}

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
  }

 private:
  std::string where() const {
    if (index_ >= plan_.ops.size()) return "[plan] ";
    return "[plan, op " + text(index_) + " " + std::string(op_name(plan_.ops[index_])) + "] ";
  }
  void format(bool ok, const std::string& rule) const {
    if (!ok) throw FormatError(where() + rule);
  }
  void shape(bool ok, const std::string& rule) const {
    if (!ok) throw ShapeError(where() + rule);
  }

  void check_tables() {
    index_ = plan_.ops.size();  // messages name the plan
    const auto bounded = [&](uint64_t value, uint64_t limit, const std::string& what) {
      format(value >= 1 && value <= limit,
             what + " is 1 to " + text(limit) + ". Got " + text(value) + ".");
    };
    bounded(plan_.ops.size(), kMaxPlanItems, "The number of operations");
    bounded(plan_.buffers.size(), kMaxPlanItems, "The number of buffers");
    bounded(plan_.weights.size(), kMaxPlanItems, "The number of weights");
    bounded(plan_.vocab_size, kMaxWidth, "The vocabulary size");
    format(plan_.layers.size() <= kMaxPlanItems, "Too many layers.");
    format(plan_.ropes.size() <= kMaxRopes, "A plan has at most " + text(kMaxRopes) +
                                                " rope tables. Got " + text(plan_.ropes.size()) +
                                                ".");
    for (const KvSpec& kv : plan_.layers) {
      bounded(kv.heads, kMaxHeads, "The number of KV heads");
      bounded(kv.head_dim, kMaxHeadDim, "The head size");
    }
    for (const BufferSpec& b : plan_.buffers) {
      bounded(b.width, kMaxWidth, "The width of a buffer");
      format(b.slot < plan_.buffers.size(),
             "A slot is below the number of buffers. Got " + text(b.slot) + ".");
    }
    for (const WeightSpec& w : plan_.weights) {
      format(w.shape.size() == 1 || w.shape.size() == 2,
             "A weight has one or two dimensions. Got " + text(w.shape.size()) + " for '" + w.name +
                 "'.");
      for (const uint64_t n : w.shape) bounded(n, kMaxWidth, "A dimension of '" + w.name + "'");
      if (w.of_rows == 0 && w.first_row == 0) continue;
      bounded(w.of_rows, kMaxWidth, "The number of rows of '" + w.name + "'");
      format(
          w.shape.size() == 2 && w.shape[0] <= w.of_rows && w.first_row <= w.of_rows - w.shape[0],
          "A slice lies within its matrix. Got " + text(w.first_row) + " + " + text(w.shape[0]) +
              " of " + text(w.of_rows) + " rows of '" + w.name + "'.");
    }
    for (const RopeSpec& rope : plan_.ropes) check_rope(rope);
    index_ = 0;
  }

  void check_rope(const RopeSpec& rope) const {
    format(rope.n_rot >= 2 && rope.n_rot % 2 == 0 && rope.n_rot <= kMaxHeadDim,
           "Rotary embeddings rotate pairs. Got " + text(rope.n_rot) +
               " rotated values, expected an even number.");
    format(std::isfinite(rope.freq_base) && rope.freq_base > 1 && rope.freq_base <= 1e15,
           "The rope frequency base is above 1 and at most 1e15. Got " +
               std::to_string(rope.freq_base) + ".");
    positive(rope.scale, 1024, "The rope scale");
    const auto per_pair = [&](uint64_t count) {
      shape(count == rope.n_rot / 2, "Rope factors are one per pair. Got " + text(count) +
                                         ", expected " + text(rope.n_rot / 2) + ".");
    };
    for (const WeightId id : {rope.factors, rope.long_factors})
      if (id != kNone) per_pair(weight(id, 1).shape[0]);
    if (!rope.scales.empty()) per_pair(rope.scales.size());
    for (const double scale : rope.scales) positive(scale, 1024, "A rope scale of a pair");
    positive(rope.magnitude, 1024, "The magnitude of a rope");
    if (rope.query_slope == 0) return;
    positive(rope.query_slope, 1024, "The slope of query scales");
    format(rope.query_length >= 1, "The length of query scales is at least 1. Got 0.");
  }
  void positive(double value, double limit, const std::string& what) const {
    format(std::isfinite(value) && value > 0 && value <= limit,
           what + " is above 0 and at most " + text(static_cast<uint64_t>(limit)) + ". Got " +
               std::to_string(value) + ".");
  }
  void softcap(double value) const {
    if (value != 0) positive(value, 1e6, "A soft cap");
  }

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
  const BufferSpec& buffer(BufferId id, BufferKind kind, BufferRows rows) const {
    const BufferSpec& b = plan_.buffers[id];
    format(b.kind == kind, "Buffer " + text(id) + " is of the wrong kind, expected " +
                               (kind == BufferKind::F32 ? "f32." : "activations."));
    shape(b.rows == rows, "Buffer " + text(id) + " has the wrong rows, expected " +
                              (rows == BufferRows::Batch ? "batch rows." : "logits rows."));
    return b;
  }
  uint64_t f32(BufferId id, BufferRows rows) const {
    return buffer(id, BufferKind::F32, rows).width;
  }
  uint64_t act(BufferId id, BufferRows rows) const {
    return buffer(id, BufferKind::Act, rows).width;
  }
  BufferRows rows_of(BufferId id) const { return plan_.buffers[id].rows; }
  const WeightSpec& weight(WeightId id, size_t dimensions) const {
    format(id < plan_.weights.size(), "Weight " + text(id) + " does not exist.");
    const WeightSpec& w = plan_.weights[id];
    shape(w.shape.size() == dimensions, "'" + w.name + "' has " + text(w.shape.size()) +
                                            " dimensions, expected " + text(dimensions) + ".");
    return w;
  }
  void same(uint64_t got, uint64_t expected, const std::string& what) const {
    shape(got == expected,
          what + " does not fit. Got " + text(got) + ", expected " + text(expected) + ".");
  }
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
    format(stored_[o.layer], "Layer " + text(o.layer) + " is read before it is stored.");
    if (o.bidirectional) stored_[o.layer] = false;  // done with: nothing after the batch reads it
  }

  void check(const GluOp& o) const {
    const uint64_t width = f32(o.gate, rows_of(o.gate));
    if (o.up != kNone) same(f32(o.up, rows_of(o.gate)), width, "The width of up");
    same(act(o.act, rows_of(o.gate)), width, "The width of the activations");
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
      const bool unread = plan_.buffers[id].kind == BufferKind::Act && first_[id] == last_[id];
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

  const Plan& plan_;
  size_t index_ = 0;
  std::vector<uint32_t> first_, last_;  // operation that defines a buffer, and that uses it last
  std::vector<bool> stored_;            // layers whose cache has been written
};

}  // namespace

void validate_structure(const Plan& plan) { StructureCheck(plan).run(); }

}  // namespace gm
