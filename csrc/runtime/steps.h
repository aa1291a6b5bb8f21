// SPDX-License-Identifier: MIT
// A plan's operations with everything resolved: pointers, strides, kernels. A step is cut into
// chunks that any worker may run in any order; a chunk is whole rows or whole tokens, so the cut
// changes no result. A step of one chunk is run by the thread that finished the step before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "runtime/batch.h"
#include "runtime/experts.h"
#include "runtime/recurrent_steps.h"

namespace gm {

// Every step: run(batch, chunk, worker) for each chunk below chunks(batch).
struct EmbedStep {
  DecodeRow decode;
  const uint8_t* table;
  size_t row_bytes, width;
  float* out;
  size_t stride;
  float scale;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct AddRowsStep {
  DecodeRow decode;
  const uint8_t* table;
  size_t row_bytes, width;
  float* out;
  size_t stride;
  RowIndex index;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct NormStep {
  RmsNormArgs args;
  BufferRows which;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct LayerNormStep {
  LayerNormArgs args;
  BufferRows which;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct QuantizeStep {
  QuantizeArgs args;
  BufferRows which;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct GluStep {
  GluArgs args;
  Activation activation;
  BufferRows which;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct LinearStep {
  std::vector<LinearPart> parts;
  BufferRows which;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
  // The panels from the first one of a chunk to the end of its matrix.
  std::span<const uint8_t> weights(const Batch& batch, size_t chunk) const noexcept;

 private:
  struct Place {
    const LinearPart* part;
    size_t first, end;  // panels
  };
  Place place(const Batch& batch, size_t chunk) const noexcept;
  size_t chunk_panels(const LinearPart& part, const Batch& batch) const noexcept;
};

struct RopeStoreStep {
  RopeArgs q, k;  // cos_sin null: not rotated
  KvStoreArgs store;
  KvType kv;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

// Cut by KV head and tile of tokens; where those are too few for the threads, which is decode, also
// by runs of 256-position chunks, whose results the merge step combines in order.
struct AttentionStep {
  AttentionArgs args;
  KvType kv;
  bool bidirectional;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct AttentionMergeStep {
  AttentionArgs args;

  size_t chunks(const Batch& batch) const noexcept;  // 0: attention was not cut by chunks
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

inline constexpr size_t kSplitTokens = 8;  // largest batch whose attention is cut by chunks

struct SelectStep {
  const float* x;
  size_t x_stride, width;
  float* out;
  size_t out_stride;
  Pool pool;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct OutputStep {
  const float* x;  // [logits_rows, x_stride]
  size_t x_stride, width;
  float* out;  // [logits_rows, width]

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct SoftCapStep {
  float* logits;  // [logits_rows, V]
  size_t V;
  float cap;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

// What candidates() needs of the last row of logits, taken while the cores still have them.
struct LogitBlocksStep {
  const float* logits;  // [logits_rows, V]
  size_t V;
  float* best;  // [blocks of kLogitBlock]
  float* sum;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

// The activations of a linear step, copied before it (runtime/taps.h).
struct TapStep {
  ActKind kind;
  const uint32_t* act;
  size_t K;
  float* out;  // [rows, K]
  BufferRows which;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

using Step =
    std::variant<EmbedStep, AddRowsStep, NormStep, LayerNormStep, QuantizeStep, GluStep, LinearStep,
                 RopeStoreStep, AttentionStep, AttentionMergeStep, RouteStep, SortPairsStep,
                 GatherStep, ExpertsLinearStep, ExpertsGluStep, CombineStep, ShortConvStep,
                 ShortConvKeepStep, DeltaPrepareStep, DeltaRuleStep, SplitHeadsStep, SelectStep,
                 OutputStep, SoftCapStep, LogitBlocksStep, TapStep>;

}  // namespace gm
