// SPDX-License-Identifier: MIT
// Sizes first (overflow-checked), then one allocation each for panels and vectors, then packing in
// file order, so that a cold file is read as one stream.
#include "runtime/weights.h"

#include <algorithm>
#include <atomic>

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

struct PackJob {
  const Weight* weight;
  const uint8_t* source;  // row 0
  uint8_t* panels;        // panel 0
  size_t end;             // panel after the segment
  std::atomic<size_t> next;
};

void pack_chunks(void* context, size_t) noexcept {
  auto& job = *static_cast<PackJob*>(context);
  const Weight& w = *job.weight;
  for (size_t p; (p = job.next.fetch_add(1, std::memory_order_relaxed)) < job.end;) {
    pack_panels(w.format, job.source, w.rows, w.K, job.panels, p, p + 1);
  }
}

void add(uint64_t* total, uint64_t bytes) {
  uint64_t aligned = 0;
  if (!checked_align(bytes, kBufferAlign, &aligned) || !checked_add(*total, aligned, total)) {
    throw ResourceError("[weights] The weights must fit into memory. Got more than 2^63 bytes.");
  }
}

}  // namespace

Weights::Weights(const Plan& plan, std::shared_ptr<const gguf::File> file, ThreadPool& pool,
                 const Progress& progress)
    : file_(std::move(file)), weights_(plan.weights.size()) {
  std::vector<TensorFacts> facts;
  for (const WeightSpec& spec : plan.weights) {
    tensors_.push_back(file_->find(spec.name));
    facts.push_back(facts_of(tensors_.back()));
  }
  validate_weights(plan, facts, file_->part(0).path());
  place(plan, weight_uses(plan));
  pack(plan, pool, progress);
}

void Weights::place(const Plan& plan, const std::vector<WeightUse>& uses) {
  uint64_t panel_total = 0, vector_total = 0;
  std::vector<uint64_t> panel_at(weights_.size()), vector_at(weights_.size());
  for (size_t i = 0; i < weights_.size(); ++i) {
    const gguf::TensorInfo& tensor = *tensors_[i];
    Weight& w = weights_[i];
    w.format = tensor.type.format;
    w.rows = tensor.rows();
    w.K = tensor.cols();
    w.row_bytes = tensor.row_bytes();
    if (uses[i].rows) {
      w.row_data = file_->bytes(tensor).data();
      mapped_bytes_ += tensor.bytes;
    }
    panel_at[i] = panel_total;
    vector_at[i] = vector_total;
    if (uses[i].panels) add(&panel_total, packed_bytes(w.format, w.rows, w.K));
    if (uses[i].vector) add(&vector_total, w.K * sizeof(float));
  }
  panels_ = AlignedBuffer(panel_total, "the packed weights", true);
  vectors_ = AlignedBuffer(vector_total, "the norm weights");
  for (size_t i = 0; i < weights_.size(); ++i) {
    Weight& w = weights_[i];
    if (uses[i].panels) w.panels = panels_.data() + panel_at[i];
    if (!uses[i].vector) continue;
    auto* values = reinterpret_cast<float*>(vectors_.data() + vector_at[i]);
    decode_row(w.format)(file_->bytes(*tensors_[i]).data(), values, w.K);
    w.values = values;
  }
  for (const Op& op : plan.ops) {
    const auto streamed = [&](WeightId id) {
      const Weight& w = weights_[id];
      bytes_per_token_ += packed_bytes(w.format, w.rows, w.K);
    };
    if (const auto* linear = std::get_if<LinearOp>(&op)) {
      for (const WeightId id : linear->weights) streamed(id);
    }
    if (const auto* logits = std::get_if<LogitsOp>(&op)) streamed(logits->weight);
    if (const auto* norm = std::get_if<RmsNormOp>(&op))
      bytes_per_token_ += weights_[norm->weight].K * sizeof(float);
    if (const auto* embed = std::get_if<EmbedOp>(&op))
      bytes_per_token_ += weights_[embed->weight].row_bytes;
  }
}

void Weights::pack(const Plan& plan, ThreadPool& pool, const Progress& progress) {
  std::vector<WeightId> order;
  for (WeightId id = 0; id < plan.weights.size(); ++id) {
    if (weights_[id].panels != nullptr) order.push_back(id);
  }
  const auto place_in_file = [&](WeightId id) {
    return std::pair(tensors_[id]->part, tensors_[id]->offset);
  };
  std::sort(order.begin(), order.end(),
            [&](WeightId a, WeightId b) { return place_in_file(a) < place_in_file(b); });
  uint64_t done = 0;
  if (progress) progress(done, panels_.size());
  for (const WeightId id : order) {
    const Weight& w = weights_[id];
    const gguf::TensorInfo& tensor = *tensors_[id];
    const MappedFile& part = file_->part(tensor.part);
    const size_t panels = (w.rows + kPanelRows - 1) / kPanelRows;
    const size_t bytes = gm::panel_bytes(w.format, w.K);
    const size_t step = std::max<size_t>(kSegmentBytes / bytes, 1);
    uint8_t* target = panels_.data() + (w.panels - panels_.data());
    for (size_t first = 0; first < panels; first += step) {
      const size_t end = std::min(first + step, panels);
      PackJob job{&w, file_->bytes(tensor).data(), target, end, {first}};
      pool.run(pack_chunks, &job);
      // From the start of the tensor: the page that two segments share goes with the second.
      part.drop(tensor.offset, std::min<uint64_t>(end * kPanelRows * w.row_bytes, tensor.bytes));
      done += (end - first) * bytes;
      if (progress) progress(std::min<uint64_t>(done, panels_.size()), panels_.size());
    }
  }
  if (progress && done < panels_.size()) progress(panels_.size(), panels_.size());
}

}  // namespace gm
