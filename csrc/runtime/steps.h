// SPDX-License-Identifier: MIT
// A plan's operations with everything resolved: pointers, strides, kernels. A step is cut into
// chunks that any worker may run in any order; a chunk is whole rows or whole tokens, so the cut
// changes no result. A step of one chunk is run by the thread that finished the step before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "kernels/kernel_table.h"
#include "plan/plan.h"

namespace gm {

// One forward pass, as all steps see it.
struct Batch {
  const KernelTable* kernels = nullptr;
  size_t threads = 1;
  size_t T = 0;
  size_t logits_rows = 0;              // the last logits_rows tokens
  const int32_t* tokens = nullptr;     // [T]
  const int32_t* positions = nullptr;  // [T]
  uint8_t* scratch = nullptr;          // per worker: kernel scratch
  size_t scratch_stride = 0;           // bytes
  float* rows = nullptr;               // per worker: one f32 row
  size_t rows_stride = 0;              // floats

  size_t count(BufferRows which) const noexcept {
    return which == BufferRows::Batch ? T : logits_rows;
  }
  uint8_t* scratch_of(size_t worker) const noexcept { return scratch + worker * scratch_stride; }
  float* row_of(size_t worker) const noexcept { return rows + worker * rows_stride; }
};

// Every step: chunks(batch) > 0, and run(batch, chunk, worker) for each chunk below it.
struct EmbedStep {
  DecodeRow decode;
  const uint8_t* table;
  size_t row_bytes, width;
  float* out;
  size_t stride;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct NormStep {
  RmsNormArgs args;
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

struct SwigluStep {
  SwigluArgs args;
  BufferRows which;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct LinearPart {
  LinearArgs args;
  Format format;
  size_t panels;
  size_t panel_bytes;
};

struct LinearStep {
  std::vector<LinearPart> parts;
  BufferRows which;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;

 private:
  size_t chunk_panels(const LinearPart& part, const Batch& batch) const noexcept;
};

struct RopeStoreStep {
  RopeArgs q, k;  // cos_sin null: not rotated
  KvStoreArgs store;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct AttentionStep {
  AttentionArgs args;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct SelectStep {
  const float* x;
  size_t x_stride, width;
  float* out;
  size_t out_stride;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

using Step = std::variant<EmbedStep, NormStep, QuantizeStep, SwigluStep, LinearStep, RopeStoreStep,
                          AttentionStep, SelectStep>;

}  // namespace gm
