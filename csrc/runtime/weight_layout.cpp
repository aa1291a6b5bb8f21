// SPDX-License-Identifier: MIT
// Panels and vectors follow each other in the order of the plan, at cache line boundaries.
#include "runtime/weight_layout.h"

#include <algorithm>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/error.h"
#include "panels/panel.h"
#include "plan/validate.h"

namespace gm {
namespace {

// Source and panels of a segment are in memory at once: small beside the 64 MiB that a load may
// need on top of the result, and large beside the cost of waking the threads.
constexpr size_t kSegmentBytes = size_t{8} << 20;

TensorFacts facts_of(const gguf::TensorInfo* tensor) {
  TensorFacts facts;
  if (tensor == nullptr) return facts;
  facts.found = true;
  facts.type_id = tensor->type.id;
  for (uint32_t i = tensor->n_dims; i-- > 0;) facts.shape.push_back(tensor->dims[i]);
  return facts;
}

// Appends `bytes` to *total; returns where they start.
uint64_t append(uint64_t* total, uint64_t bytes) {
  const uint64_t start = *total;
  uint64_t aligned = 0;
  if (!checked_align(bytes, kBufferAlign, &aligned) || !checked_add(*total, aligned, total)) {
    throw ResourceError("[weights] The weights must fit into memory. Got more than 2^63 bytes.");
  }
  return start;
}

uint64_t bytes_per_token(const Plan& plan, const WeightLayout& layout) {
  uint64_t total = 0;
  const auto bytes_of = [&](WeightId id) {
    const WeightPlace& w = layout.places[id];
    return packed_bytes(w.format(), w.rows(), w.K());
  };
  const auto streamed = [&](WeightId id) { total += bytes_of(id); };
  const auto vector = [&](WeightId id) {
    if (id != kNone) total += layout.places[id].vector_bytes();
  };
  for (const Op& op : plan.ops) {
    if (const auto* linear = std::get_if<LinearOp>(&op)) {
      for (const WeightId id : linear->weights) streamed(id);
      for (const auto* ids : {&linear->biases, &linear->factors})
        for (const WeightId id : *ids) vector(id);
    }
    if (const auto* logits = std::get_if<LogitsOp>(&op)) streamed(logits->weight);
    if (const auto* norm = std::get_if<RmsNormOp>(&op)) vector(norm->weight);
    if (const auto* norm = std::get_if<LayerNormOp>(&op)) {
      vector(norm->weight);
      vector(norm->bias);
    }
    if (const auto* add = std::get_if<AddRowsOp>(&op))
      total += layout.places[add->weight].tensor->row_bytes();
    if (const auto* route = std::get_if<RouteOp>(&op)) vector(route->bias);
    if (const auto* experts = std::get_if<ExpertsOp>(&op)) {
      for (const WeightId id : experts->weights)
        total += bytes_of(id) / plan.weights[id].experts * experts->used;
      for (const WeightId id : experts->biases) vector(id);
    }
    if (const auto* conv = std::get_if<ShortConvOp>(&op)) {
      vector(conv->weight);
      vector(conv->bias);
    }
    if (const auto* delta = std::get_if<DeltaRuleOp>(&op)) {
      vector(delta->rate);
      vector(delta->shift);
    }
    if (const auto* embed = std::get_if<EmbedOp>(&op))
      total += layout.places[embed->weight].tensor->row_bytes();
  }
  return total;
}

}  // namespace

size_t segment_panels(const WeightPlace& weight) noexcept {
  const size_t most = kSegmentBytes / panel_bytes(weight.format(), weight.K());
  return std::clamp<size_t>(most, 1, weight.panels());
}

WeightLayout layout_weights(const Plan& plan, const gguf::File& file) {
  WeightLayout layout;
  layout.places.resize(plan.weights.size());
  std::vector<TensorFacts> facts;
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    layout.places[i].tensor = file.find(plan.weights[i].name);
    facts.push_back(facts_of(layout.places[i].tensor));
  }
  validate_weights(plan, facts, file.part(0).path());
  const std::vector<WeightUse> uses = weight_uses(plan);
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    WeightPlace& w = layout.places[i];
    w.use = uses[i];
    w.first_row = plan.weights[i].first_row;
    w.row_count = plan.weights[i].of_rows == 0 ? w.tensor->rows() : plan.weights[i].shape[0];
    if (w.use.rows) layout.mapped_bytes += w.tensor->bytes;
    if (w.use.panels)
      w.panel_offset = append(&layout.panel_bytes, packed_bytes(w.format(), w.rows(), w.K()));
    if (w.use.vector || w.use.columns)
      w.vector_offset = append(&layout.vector_bytes, w.vector_bytes());
  }
  layout.bytes_per_token = bytes_per_token(plan, layout);
  return layout;
}

}  // namespace gm
