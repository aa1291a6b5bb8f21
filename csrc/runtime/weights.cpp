// SPDX-License-Identifier: MIT
// One allocation each for panels and vectors, then packing in file order, so that a cold file is
// read as one stream. Comparing a cache entry with its file is the same walk.
#include "runtime/weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "panels/panel.h"

namespace gm {
namespace {

struct Job {
  const WeightPlace* weight;
  const uint8_t* source;  // row 0
  uint8_t* panels;        // panel 0; only read by compare_chunks
  size_t end;             // panel after the segment
  std::atomic<size_t> next;
  std::vector<std::vector<uint8_t>>* scratch;  // per worker: a panel
  std::atomic<bool> differs{false};
};

void pack_chunks(void* context, size_t) noexcept {
  auto& job = *static_cast<Job*>(context);
  const WeightPlace& w = *job.weight;
  for (size_t p; (p = job.next.fetch_add(1, std::memory_order_relaxed)) < job.end;) {
    pack_panels(w.format(), job.source, w.rows(), w.K(), job.panels, p, p + 1);
  }
}

void compare_chunks(void* context, size_t worker) noexcept {
  auto& job = *static_cast<Job*>(context);
  const WeightPlace& w = *job.weight;
  uint8_t* panel = (*job.scratch)[worker].data();
  const size_t bytes = panel_bytes(w.format(), w.K());
  for (size_t p; (p = job.next.fetch_add(1, std::memory_order_relaxed)) < job.end;) {
    const size_t row = p * kPanelRows;
    pack_panels(w.format(), job.source + row * w.tensor->row_bytes(), w.rows() - row, w.K(), panel,
                0, 1);
    if (std::memcmp(panel, job.panels + p * bytes, bytes) != 0) job.differs = true;
  }
}

// The weights that have panels, in the order of the file.
std::vector<const WeightPlace*> in_file_order(const WeightLayout& layout) {
  std::vector<const WeightPlace*> order;
  for (const WeightPlace& w : layout.places) {
    if (w.use.panels) order.push_back(&w);
  }
  std::sort(order.begin(), order.end(), [](const WeightPlace* a, const WeightPlace* b) {
    return std::pair(a->tensor->part, a->tensor->offset + a->row_offset(0)) <
           std::pair(b->tensor->part, b->tensor->offset + b->row_offset(0));
  });
  return order;
}

// The layout of a file; zeros in place of bytes that are gone are no wrong names or shapes.
WeightLayout layout_of(const Plan& plan, const gguf::File& file) {
  try {
    return layout_weights(plan, file);
  } catch (const Error&) {
    file.check();
    throw;
  }
}

}  // namespace

Weights::Weights(const Plan& plan, std::shared_ptr<const gguf::File> file, ThreadPool& pool,
                 const Progress& progress, const std::string& cache)
    : file_(std::move(file)), layout_(layout_of(plan, *file_)), weights_(plan.weights.size()) {
  load(pool, progress, cache);
  check();
}

void Weights::load(ThreadPool& pool, const Progress& progress, const std::string& cache) {
  read_vectors();
  if (!cache.empty()) {
    key_ = panel_key(layout_, *file_);
    cache_ = {CacheState::Miss, entry_path(cache, key_), ""};
    if (!find_cached(pool, progress)) entry_.reset();
    // Key and sample touch all tensors, and a fault may map megabytes around each.
    for (uint32_t i = 0; i < file_->part_count(); ++i)
      file_->part(i).drop(0, file_->part(i).size());
  }
  const uint8_t* base = nullptr;
  if (entry_ != nullptr) {
    base = entry_->panels();
  } else {
    panels_ = AlignedBuffer(layout_.panel_bytes, "the packed weights", true);
    visit(Visit::Pack, panels_.data(), pool, progress);
    base = panels_.data();
  }
  for (size_t i = 0; i < weights_.size(); ++i) {
    const WeightPlace& place = layout_.places[i];
    if (place.use.panels) weights_[i].panels = base + place.panel_offset;
  }
}

bool Weights::broken() const noexcept {
  return file_->broken() || (entry_ != nullptr && entry_->map().broken());
}

void Weights::check() const {
  file_->check();
  if (entry_ != nullptr) entry_->map().check();
}

void Weights::read_vectors() {
  vectors_ = AlignedBuffer(layout_.vector_bytes, "the norm weights");
  for (size_t i = 0; i < weights_.size(); ++i) {
    const WeightPlace& place = layout_.places[i];
    const uint8_t* data = file_->bytes(*place.tensor).data() + place.row_offset(0);
    Weight& w = weights_[i];
    w.format = place.format();
    w.rows = place.rows();
    w.K = place.K();
    w.row_bytes = place.tensor->row_bytes();
    if (place.use.rows) w.row_data = data;
    if (!place.use.vector && !place.use.columns) continue;
    auto* values = reinterpret_cast<float*>(vectors_.data() + place.vector_offset);
    w.values = values;
    if (place.use.vector) {
      decode_row(w.format)(data, values, w.rows * w.K);
      continue;
    }
    std::vector<float> row(w.K);
    for (size_t r = 0; r < w.rows; ++r) {
      decode_row(w.format)(data + r * w.row_bytes, row.data(), w.K);
      for (size_t k = 0; k < w.K; ++k) values[k * w.rows + r] = row[k];
    }
  }
}

// Opens the entry; whether it holds the panels of this file, as far as panel_cache.h asks.
bool Weights::find_cached(ThreadPool& pool, const Progress& progress) {
  entry_ = PanelCacheEntry::open(cache_.path, &cache_.why);
  if (entry_ == nullptr) return false;
  cache_.why = "the entry was not used: it belongs to another file";
  if (entry_->info().key != key_ || entry_->info().panel_bytes != layout_.panel_bytes) return false;
  if (!sample_agrees(layout_, *file_, entry_->panels())) return false;
  if (entry_->knows(source_stamp(*file_))) {
    cache_.state = CacheState::Hit;
  } else {
    // Compare only reads.
    if (!visit(Visit::Compare, const_cast<uint8_t*>(entry_->panels()), pool, progress))
      return false;
    if (entry_->map().broken()) return false;  // zeros, and so were the weights
    entry_->learn(source_stamp(*file_));
    cache_.state = CacheState::Compared;
  }
  cache_.why.clear();
  if (progress) progress(layout_.panel_bytes, layout_.panel_bytes);
  return true;
}

// Packs all panels, or compares them with the file: false at the first segment that differs.
bool Weights::visit(Visit what, uint8_t* panels, ThreadPool& pool, const Progress& progress) {
  const bool compare = what == Visit::Compare;
  const std::vector<const WeightPlace*> order = in_file_order(layout_);
  size_t largest = 0;
  for (const WeightPlace* w : order) largest = std::max(largest, panel_bytes(w->format(), w->K()));
  std::vector<std::vector<uint8_t>> scratch(compare ? pool.size() : 0,
                                            std::vector<uint8_t>(largest));
  const uint64_t total = layout_.panel_bytes;
  uint64_t done = 0;
  if (progress) progress(done, total);
  for (const WeightPlace* w : order) {
    const gguf::TensorInfo& tensor = *w->tensor;
    const MappedFile& part = file_->part(tensor.part);
    const size_t bytes = panel_bytes(w->format(), w->K());
    const size_t step = segment_panels(*w);
    for (size_t first = 0; first < w->panels(); first += step) {
      const size_t end = std::min(first + step, w->panels());
      const uint8_t* source = file_->bytes(tensor).data() + w->row_offset(0);
      Job job{w, source, panels + w->panel_offset, end, {first}, &scratch};
      pool.run(compare ? compare_chunks : pack_chunks, &job);
      if (file_->broken()) file_->check();
      if (job.differs) return false;
      // From the start of the tensor: the page that two segments share goes with the second.
      part.drop(tensor.offset, std::min<uint64_t>(w->row_offset(end * kPanelRows), tensor.bytes));
      done += (end - first) * bytes;
      if (progress) progress(std::min(done, total), total);
    }
  }
  if (progress && done < total) progress(total, total);
  return true;
}

std::unique_ptr<PanelCacheWriter> Weights::cache_writer() const {
  if (cache_.state != CacheState::Miss)
    throw ResourceError("[cache] An entry is written after a miss only.");
  for (size_t i = 0; i < file_->part_count(); ++i) {
    const MappedFile& part = file_->part(i);
    if (part.identity() != MappedFile::identity_of(part.path()))
      throw ResourceError("[" + part.path() + "] the file changed while it was loaded.");
  }
  const PanelCacheInfo info{key_, layout_.panel_bytes, 0, file_->part(0).path()};
  return std::make_unique<PanelCacheWriter>(cache_.path, info, source_stamp(*file_),
                                            std::span(panels_.data(), panels_.size()));
}

}  // namespace gm
