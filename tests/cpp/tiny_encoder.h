// SPDX-License-Identifier: MIT
// An encoder of a few thousand weights that makes one row of a text: every operation that decoders
// do not have.
#pragma once

#include <string>

#include "tiny_model.h"

namespace gm::test {

class TinyEncoder : public PlanBuilder {
 public:
  static constexpr uint64_t kPositions = 96, kTypes = 2;

  explicit TinyEncoder(const TinyShape& shape, Pool pool = Pool::Mean) : s_(shape) {
    plan_.vocab_size = s_.vocab;
    plan_.layers.push_back({s_.heads, s_.head_dim});
    plan_.ropes.push_back({10000.0, 1.0, s_.head_dim, kNone});
    BufferId x = buffer(BufferKind::F32, s_.dim);
    plan_.ops.push_back(EmbedOp{weight("embed", {s_.vocab, s_.dim}), x});
    plan_.ops.push_back(AddRowsOp{weight("types", {kTypes, s_.dim}), x, RowIndex::Type});
    plan_.ops.push_back(
        AddRowsOp{weight("positions", {kPositions, s_.dim}), x, RowIndex::Position});
    BufferId act = kNone;
    x = norm("embed_norm", x, &act);
    for (uint64_t i = 0; i < s_.layers; ++i) add_layer("blk." + std::to_string(i) + ".", &x, &act);
    add_head(x, pool);
  }

 private:
  // The norm of x in a buffer of its own, and as activations unless act is null.
  BufferId norm(const std::string& name, BufferId x, BufferId* act) {
    if (act != nullptr) *act = buffer(BufferKind::Act, s_.dim);
    const BufferId out = buffer(BufferKind::F32, s_.dim);
    const WeightId bias = weight(name + ".bias", {s_.dim});
    plan_.ops.push_back(
        LayerNormOp{x, weight(name, {s_.dim}), bias, 1e-5, act == nullptr ? kNone : *act, out});
    return out;
  }

  void add_layer(const std::string& prefix, BufferId* x, BufferId* act) {
    const uint64_t width = s_.heads * s_.head_dim;
    const BufferId q = buffer(BufferKind::F32, width), k = buffer(BufferKind::F32, width),
                   v = buffer(BufferKind::F32, width), out = buffer(BufferKind::F32, width);
    plan_.ops.push_back(
        LinearOp{*act,
                 {weight(prefix + "q", {width, s_.dim}), weight(prefix + "k", {width, s_.dim}),
                  weight(prefix + "v", {width, s_.dim})},
                 {q, k, v},
                 false});
    plan_.ops.push_back(RopeStoreOp{q, k, v, 0, s_.heads, 0, true});
    plan_.ops.push_back(
        AttentionOp{q, out, 0, s_.heads, 0.18, prefix[4] == '0' ? 16u : 0u, 0.0, true});
    BufferId in = buffer(BufferKind::Act, width);
    plan_.ops.push_back(QuantizeOp{out, in});
    plan_.ops.push_back(LinearOp{in, {weight(prefix + "o", {s_.dim, width})}, {*x}, true});
    *x = norm(prefix + "attn_norm", *x, act);
    const BufferId up = buffer(BufferKind::F32, s_.ffn);
    plan_.ops.push_back(LinearOp{*act, {weight(prefix + "up", {s_.ffn, s_.dim})}, {up}, false});
    in = buffer(BufferKind::Act, s_.ffn);
    plan_.ops.push_back(GluOp{up, kNone, in, Activation::Gelu});
    plan_.ops.push_back(LinearOp{in, {weight(prefix + "down", {s_.dim, s_.ffn})}, {*x}, true});
    const bool last = prefix[4] == static_cast<char>('0' + s_.layers - 1);
    *x = norm(prefix + "ffn_norm", *x, last ? nullptr : act);
  }

  void add_head(BufferId x, Pool pool) {
    const BufferId row = buffer(BufferKind::F32, s_.dim, BufferRows::Logits),
                   act = buffer(BufferKind::Act, s_.dim, BufferRows::Logits),
                   inner = buffer(BufferKind::F32, 32, BufferRows::Logits),
                   hidden = buffer(BufferKind::Act, 32, BufferRows::Logits),
                   out = buffer(BufferKind::F32, 5, BufferRows::Logits);
    plan_.ops.push_back(SelectRowsOp{x, row, pool});
    plan_.ops.push_back(QuantizeOp{row, act});
    plan_.ops.push_back(LinearOp{act, {weight("head", {32, s_.dim})}, {inner}, false});
    plan_.ops.push_back(GluOp{inner, kNone, hidden, Activation::Tanh});
    plan_.ops.push_back(LinearOp{hidden, {weight("scores", {5, 32})}, {out}, false});
    plan_.ops.push_back(OutputOp{out});
  }

  TinyShape s_;
};

}  // namespace gm::test
