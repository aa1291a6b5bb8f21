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

constexpr size_t kAttentionMacsPerNs = 40;  // of one core, roughly
constexpr size_t kAttentionPiecesPerThread = 8;
constexpr size_t kTokensPerChunk = 32;                // embedding, rope, row selection
constexpr size_t kMeanColumns = 256;                  // of a mean over tokens
constexpr size_t kLogitsPerChunk = 64 * kLogitBlock;  // two or three microseconds

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
    float* row = out + t * stride;
    decode(table + token * row_bytes, row, width);
    for (size_t i = 0; scale != 1.0f && i < width; ++i) row[i] *= scale;
  }
}

size_t AddRowsStep::chunks(const Batch& batch) const noexcept { return token_chunks(batch.T); }

void AddRowsStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  const Range range = token_range(batch.T, chunk);
  const int32_t* ids = index == RowIndex::Position ? batch.positions : batch.types;
  float* row = batch.row_of(worker);
  for (size_t t = range.begin; t < range.end; ++t) {
    const size_t id = ids == nullptr ? 0 : static_cast<size_t>(ids[t]);
    decode(table + id * row_bytes, row, width);
    for (size_t i = 0; i < width; ++i) out[t * stride + i] += row[i];
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

size_t LayerNormStep::chunks(const Batch& batch) const noexcept {
  return tile_chunks(batch, batch.count(which));
}

void LayerNormStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  LayerNormArgs call = args;
  call.quant.T = batch.count(which);
  call.row = batch.row_of(worker);
  const Range tiles = tile_range(batch, call.quant.T, chunk);
  batch.kernels->layer_norm(call, tiles.begin, tiles.end);
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

size_t GluStep::chunks(const Batch& batch) const noexcept {
  return tile_chunks(batch, batch.count(which));
}

void GluStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  GluArgs call = args;
  call.quant.T = batch.count(which);
  call.row = batch.row_of(worker);
  const Range tiles = tile_range(batch, call.quant.T, chunk);
  batch.kernels->glu[static_cast<size_t>(activation)](call, tiles.begin, tiles.end);
}

size_t LinearStep::chunk_panels(const LinearPart& part, const Batch& batch) const noexcept {
  return panels_per_chunk(part, parts, batch.count(which), 1, batch.threads);
}

size_t LinearStep::chunks(const Batch& batch) const noexcept {
  size_t total = 0;
  for (const LinearPart& part : parts) total += ceil_div(part.panels, chunk_panels(part, batch));
  return total;
}

LinearStep::Place LinearStep::place(const Batch& batch, size_t chunk) const noexcept {
  for (const LinearPart& part : parts) {
    const size_t panels = chunk_panels(part, batch);
    const size_t here = ceil_div(part.panels, panels);
    if (chunk < here) return {&part, chunk * panels, std::min((chunk + 1) * panels, part.panels)};
    chunk -= here;
  }
  return {&parts.back(), parts.back().panels, parts.back().panels};
}

void LinearStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  const Place at = place(batch, chunk);
  LinearArgs call = at.part->args;
  call.T = batch.count(which);
  call.scratch = batch.scratch_of(worker);
  batch.kernels->linear[static_cast<size_t>(at.part->format)](call, at.first, at.end);
}

std::span<const uint8_t> LinearStep::weights(const Batch& batch, size_t chunk) const noexcept {
  const Place at = place(batch, chunk);
  const size_t bytes = at.part->panel_bytes;
  return {at.part->args.panels + at.first * bytes, (at.part->panels - at.first) * bytes};
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
  batch.kernels->kv_store[static_cast<size_t>(kv)](call, range.begin, range.end);
}

namespace {

// How attention over a batch is cut: heads x tiles x runs, and chunks per run.
struct AttentionGrid {
  size_t tile, tiles, first, chunks, run, runs;
  bool small;  // not worth cutting

  // A bidirectional one has its batch from position 0 on: nothing is hidden.
  AttentionGrid(const AttentionArgs& args, const Batch& batch, bool bidirectional) noexcept {
    const auto end = static_cast<size_t>(batch.positions[batch.T - 1]) + 1;
    const auto begin = static_cast<size_t>(batch.positions[0]) + 1;
    const bool causal = !bidirectional && args.window != 0;
    const size_t hidden = causal && begin > args.window ? begin - args.window : 0;
    const size_t macs = 2 * batch.T * (end - hidden) * args.H * args.D;
    tile = attention_tile(args.H / args.G);
    tiles = ceil_div(batch.T, tile);
    first = hidden / kChunkPositions;
    chunks = ceil_div(end, kChunkPositions) - first;
    small = macs <= kMinChunkNs * kAttentionMacsPerNs;
    const size_t pieces = args.G * tiles, wanted = batch.threads * kAttentionPiecesPerThread;
    const bool split =
        !small && !bidirectional && batch.part_chunks != 0 && batch.T <= kSplitTokens;
    runs = split ? std::min(chunks, ceil_div(wanted, pieces)) : 1;
    const size_t least = ceil_div(kMinChunkNs * kAttentionMacsPerNs, macs / (pieces * chunks) + 1);
    run = std::max(ceil_div(chunks, runs), least);
    runs = ceil_div(chunks, run);
  }
};

}  // namespace

size_t AttentionStep::chunks(const Batch& batch) const noexcept {
  const AttentionGrid grid(args, batch, bidirectional);
  return grid.small ? 1 : args.G * grid.tiles * grid.runs;
}

void AttentionStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  AttentionArgs call = args;
  call.positions = batch.positions;
  call.scratch = batch.scratch_of(worker);
  call.parts = batch.parts;
  call.part_chunks = batch.part_chunks;
  call.length = bidirectional ? batch.T : 0;
  const AttentionGrid grid(args, batch, bidirectional);
  // Heads one after another, so that the pages of one stay in the cache. The last tiles see the
  // most positions: they go first, so that no thread ends on a long one.
  const size_t pieces = args.G * grid.tiles * grid.runs;
  for (size_t i = grid.small ? 0 : chunk; i < (grid.small ? pieces : chunk + 1); ++i) {
    const size_t t0 = (grid.tiles - 1 - i / grid.runs % grid.tiles) * grid.tile;
    const size_t chunk0 = grid.first + i % grid.runs * grid.run;
    const AttentionCut cut{i / (grid.runs * grid.tiles),
                           t0,
                           std::min(t0 + grid.tile, batch.T),
                           grid.runs == 1,
                           chunk0,
                           std::min(chunk0 + grid.run, grid.first + grid.chunks)};
    batch.kernels->attention[static_cast<size_t>(kv)](call, cut);
  }
}

size_t AttentionMergeStep::chunks(const Batch& batch) const noexcept {
  const AttentionGrid grid(args, batch, false);
  if (grid.runs == 1) return 0;
  const size_t rows = batch.T * args.H;
  const size_t bytes = rows * grid.chunks * attention_part_floats(args.D) * sizeof(float);
  return std::min(rows, std::max<size_t>(1, bytes / (kMinChunkNs * kBytesPerNs)));
}

void AttentionMergeStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  AttentionArgs call = args;
  call.positions = batch.positions;
  call.scratch = batch.scratch_of(worker);
  call.parts = batch.parts;
  call.part_chunks = batch.part_chunks;
  const size_t rows = batch.T * args.H, pieces = chunks(batch);
  batch.kernels->attention_merge(call, rows * chunk / pieces, rows * (chunk + 1) / pieces);
}

size_t SelectStep::chunks(const Batch& batch) const noexcept {
  if (pool == Pool::Mean) return ceil_div(width, kMeanColumns);
  return token_chunks(batch.logits_rows);
}

void SelectStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  if (pool == Pool::Mean) {  // of each column, over the tokens in order
    const size_t begin = chunk * kMeanColumns, end = std::min(width, begin + kMeanColumns);
    std::fill(out + begin, out + end, 0.0f);
    for (size_t t = 0; t < batch.T; ++t)
      for (size_t i = begin; i < end; ++i) out[i] += x[t * x_stride + i];
    for (size_t i = begin; i < end; ++i) out[i] /= static_cast<float>(batch.T);
    return;
  }
  const Range range = token_range(batch.logits_rows, chunk);
  const size_t first = pool == Pool::First ? 0 : batch.T - batch.logits_rows;
  for (size_t i = range.begin; i < range.end; ++i) {
    std::memcpy(out + i * out_stride, x + (first + i) * x_stride, width * sizeof(float));
  }
}

size_t OutputStep::chunks(const Batch& batch) const noexcept {
  return token_chunks(batch.logits_rows);
}

void OutputStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const Range range = token_range(batch.logits_rows, chunk);
  for (size_t i = range.begin; i < range.end; ++i)
    std::memcpy(out + i * width, x + i * x_stride, width * sizeof(float));
}

size_t SoftCapStep::chunks(const Batch& batch) const noexcept {
  return ceil_div(batch.logits_rows * V, kLogitsPerChunk);
}

void SoftCapStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const size_t first = chunk * kLogitsPerChunk, end = batch.logits_rows * V;
  batch.kernels->soft_cap(logits + first, std::min(kLogitsPerChunk, end - first), cap);
}

size_t LogitBlocksStep::chunks(const Batch&) const noexcept { return ceil_div(V, kLogitsPerChunk); }

void LogitBlocksStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const size_t first = chunk * kLogitsPerChunk;
  const size_t block = first / kLogitBlock;
  const float* row = logits + (batch.logits_rows - 1) * V;
  batch.kernels->logit_blocks(row + first, std::min(kLogitsPerChunk, V - first), best + block,
                              sum + block);
}

}  // namespace gm
