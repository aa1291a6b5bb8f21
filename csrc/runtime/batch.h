// SPDX-License-Identifier: MIT
// What all steps share: the batch that they run, and how a product is cut into chunks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

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
  const int32_t* types = nullptr;      // [T], or null: all 0
  uint8_t* scratch = nullptr;          // per worker: kernel scratch
  size_t scratch_stride = 0;           // bytes
  float* parts = nullptr;              // attention's results of single chunks
  size_t part_chunks = 0;              // chunks per row of them; 0: attention is not cut by chunks
  float* rows = nullptr;               // per worker: one f32 row
  size_t rows_stride = 0;              // floats

  size_t count(BufferRows which) const noexcept {
    return which == BufferRows::Batch ? T : logits_rows;
  }
  uint8_t* scratch_of(size_t worker) const noexcept { return scratch + worker * scratch_stride; }
  float* row_of(size_t worker) const noexcept { return rows + worker * rows_stride; }
};

// Rough rates of one core, only to choose chunk sizes: what it streams and multiplies.
inline constexpr size_t kBytesPerNs = 20;
inline constexpr size_t kMacsPerNs = 100;
inline constexpr size_t kMinChunkNs = 3'000;
inline constexpr size_t kMaxChunkNs = 20'000;
inline constexpr size_t kChunksPerThread = 16;
inline constexpr size_t kPanelsTogether = 8;

constexpr size_t ceil_div(size_t a, size_t b) noexcept { return (a + b - 1) / b; }

struct LinearPart {
  LinearArgs args;
  Format format;
  size_t panels;
  size_t panel_bytes;
};

// Panels of `part` in a chunk, where a step has `copies` times all parts, for T tokens each.
inline size_t panels_per_chunk(const LinearPart& part, std::span<const LinearPart> parts, size_t T,
                               size_t copies, size_t threads) noexcept {
  const auto panel_ns = [&](const LinearPart& p) {
    return std::max(p.panel_bytes / kBytesPerNs, kPanelRows * p.args.K * T / kMacsPerNs) + 1;
  };
  size_t step_ns = 0;
  for (const LinearPart& p : parts) step_ns += copies * p.panels * panel_ns(p);
  const size_t share = step_ns / (threads * kChunksPerThread);
  const size_t chunk_ns = std::clamp(share, kMinChunkNs, kMaxChunkNs);
  // Several panels share the activations of a token block in L2, and two share each broadcast.
  const size_t together = std::min(kPanelsTogether, copies * part.panels / (threads * 4));
  const size_t panels = std::max(chunk_ns / panel_ns(part), together);
  return panels < 2 ? 1 : panels / 2 * 2;
}

}  // namespace gm
