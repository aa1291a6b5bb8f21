// SPDX-License-Identifier: MIT
// How much is worth a chunk. Going from one step to the next costs a microsecond or two, so a step
// that one thread finishes sooner is not cut; larger ones are cut into a few times more chunks than
// threads, so that a slow core delays the others by a fraction of its share.
#include "runtime/steps.h"

#include <algorithm>
#include <cstring>

#include "formats/activation.h"

namespace gm {
namespace {

// Rough rates of one core, only to choose chunk sizes: what it streams, multiplies and attends.
constexpr size_t kBytesPerNs = 20;
constexpr size_t kMacsPerNs = 100;
constexpr size_t kAttentionMacsPerNs = 8;
constexpr size_t kMinChunkNs = 3'000;
constexpr size_t kMaxChunkNs = 20'000;
constexpr size_t kChunksPerThread = 16;
constexpr size_t kPanelsTogether = 8;
constexpr size_t kTokensPerChunk = 32;  // embedding, rope, row selection

constexpr size_t ceil_div(size_t a, size_t b) noexcept { return (a + b - 1) / b; }

size_t tile_count(size_t T, size_t max_tile) noexcept {
  size_t tiles = T / max_tile;
  for (size_t left = T % max_tile; left > 0; left -= tile_width(left, max_tile)) ++tiles;
  return tiles;
}

// Token-wise steps: up to a tile of tokens in one chunk, else a chunk per tile.
size_t tile_chunks(const Batch& batch, size_t T) noexcept {
  return T <= batch.kernels->max_tile ? 1 : tile_count(T, batch.kernels->max_tile);
}

struct Range {
  size_t begin, end;
};

Range tile_range(const Batch& batch, size_t T, size_t chunk) noexcept {
  const size_t tiles = tile_count(T, batch.kernels->max_tile);
  return T <= batch.kernels->max_tile ? Range{0, tiles} : Range{chunk, chunk + 1};
}

size_t token_chunks(size_t T) noexcept { return ceil_div(T, kTokensPerChunk); }

Range token_range(size_t T, size_t chunk) noexcept {
  return {chunk * kTokensPerChunk, std::min(T, (chunk + 1) * kTokensPerChunk)};
}

}  // namespace

size_t EmbedStep::chunks(const Batch& batch) const noexcept { return token_chunks(batch.T); }

void EmbedStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const Range range = token_range(batch.T, chunk);
  for (size_t t = range.begin; t < range.end; ++t) {
    const auto token = static_cast<size_t>(batch.tokens[t]);
    decode(table + token * row_bytes, out + t * stride, width);
  }
}

size_t NormStep::chunks(const Batch& batch) const noexcept {
  return tile_chunks(batch, batch.count(which));
}

void NormStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  RmsNormArgs call = args;
  call.quant.T = batch.count(which);
  call.row = batch.row_of(worker);
  const Range tiles = tile_range(batch, call.quant.T, chunk);
  batch.kernels->rms_norm(call, tiles.begin, tiles.end);
}

size_t QuantizeStep::chunks(const Batch& batch) const noexcept {
  return tile_chunks(batch, batch.count(which));
}

void QuantizeStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  QuantizeArgs call = args;
  call.T = batch.count(which);
  const Range tiles = tile_range(batch, call.T, chunk);
  batch.kernels->quantize(call, tiles.begin, tiles.end);
}

size_t SwigluStep::chunks(const Batch& batch) const noexcept {
  return tile_chunks(batch, batch.count(which));
}

void SwigluStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  SwigluArgs call = args;
  call.quant.T = batch.count(which);
  call.row = batch.row_of(worker);
  const Range tiles = tile_range(batch, call.quant.T, chunk);
  batch.kernels->swiglu(call, tiles.begin, tiles.end);
}

size_t LinearStep::chunk_panels(const LinearPart& part, const Batch& batch) const noexcept {
  const size_t T = batch.count(which);
  const auto panel_ns = [&](const LinearPart& p) {
    return std::max(p.panel_bytes / kBytesPerNs, kPanelRows * p.args.K * T / kMacsPerNs) + 1;
  };
  size_t group_ns = 0;
  for (const LinearPart& p : parts) group_ns += p.panels * panel_ns(p);
  const size_t share = group_ns / (batch.threads * kChunksPerThread);
  const size_t chunk_ns = std::clamp(share, kMinChunkNs, kMaxChunkNs);
  // Several panels share the activations of a token block in L2, and two share each broadcast.
  const size_t together = std::min(kPanelsTogether, part.panels / (batch.threads * 4));
  const size_t panels = std::max(chunk_ns / panel_ns(part), together);
  return panels < 2 ? 1 : panels / 2 * 2;
}

size_t LinearStep::chunks(const Batch& batch) const noexcept {
  size_t total = 0;
  for (const LinearPart& part : parts) total += ceil_div(part.panels, chunk_panels(part, batch));
  return total;
}

void LinearStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  for (const LinearPart& part : parts) {
    const size_t panels = chunk_panels(part, batch);
    const size_t here = ceil_div(part.panels, panels);
    if (chunk >= here) {
      chunk -= here;
      continue;
    }
    LinearArgs call = part.args;
    call.T = batch.count(which);
    call.scratch = batch.scratch_of(worker);
    const size_t first = chunk * panels;
    batch.kernels->linear[static_cast<size_t>(part.format)](call, first,
                                                            std::min(first + panels, part.panels));
    return;
  }
}

size_t RopeStoreStep::chunks(const Batch& batch) const noexcept { return token_chunks(batch.T); }

void RopeStoreStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const Range range = token_range(batch.T, chunk);
  const auto rotate = [&](RopeArgs call) {
    call.positions = batch.positions;
    batch.kernels->rope(call, range.begin, range.end);
  };
  if (q.cos_sin != nullptr) {
    rotate(q);
    rotate(k);
  }
  KvStoreArgs call = store;
  call.positions = batch.positions;
  batch.kernels->kv_store(call, range.begin, range.end);
}

size_t AttentionStep::chunks(const Batch& batch) const noexcept {
  const auto last = static_cast<size_t>(batch.positions[batch.T - 1]) + 1;
  const size_t seen = args.window == 0 ? last : std::min(last, args.window + batch.T);
  const size_t macs = 2 * batch.T * seen * args.H * args.D;
  if (macs <= kMinChunkNs * kAttentionMacsPerNs) return 1;
  return args.G * ceil_div(batch.T, batch.kernels->attention_tile);
}

void AttentionStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  AttentionArgs call = args;
  call.positions = batch.positions;
  call.scratch = batch.scratch_of(worker);
  const size_t tile = batch.kernels->attention_tile;
  const size_t tiles = ceil_div(batch.T, tile);
  const bool whole = chunks(batch) == 1;
  // The last tiles see the most positions: they go first, so that no thread ends on a long one.
  for (size_t i = whole ? 0 : chunk; i < (whole ? args.G * tiles : chunk + 1); ++i) {
    const size_t t0 = (tiles - 1 - i / args.G) * tile;
    batch.kernels->attention(call, i % args.G, t0, std::min(t0 + tile, batch.T));
  }
}

size_t SelectStep::chunks(const Batch& batch) const noexcept {
  return token_chunks(batch.logits_rows);
}

void SelectStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const Range range = token_range(batch.logits_rows, chunk);
  const size_t first = batch.T - batch.logits_rows;
  for (size_t i = range.begin; i < range.end; ++i) {
    std::memcpy(out + i * out_stride, x + (first + i) * x_stride, width * sizeof(float));
  }
}

}  // namespace gm
