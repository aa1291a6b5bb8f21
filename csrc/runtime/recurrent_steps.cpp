// SPDX-License-Identifier: MIT
// Chunks of tokens are small: a token of a wide convolution takes microseconds.
#include "runtime/recurrent_steps.h"

#include <algorithm>
#include <cstring>

namespace gm {
namespace {

constexpr size_t kManyTokens = 32;       // of a chunk that only copies
constexpr size_t kFewTokens = 8;         // of a chunk
constexpr size_t kDeltaValuesPerNs = 8;  // of the state that a core updates
constexpr size_t kDeltaChunksPerThread = 8;

struct Range {
  size_t begin, end;
};

Range token_range(size_t T, size_t chunk, size_t each) noexcept {
  return {chunk * each, std::min(T, (chunk + 1) * each)};
}

size_t position_of_batch(const Batch& batch) noexcept {
  return static_cast<size_t>(batch.positions[0]);
}

}  // namespace

size_t ShortConvStep::chunks(const Batch& batch) const noexcept {
  return ceil_div(batch.T, kFewTokens);
}

void ShortConvStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const Range range = token_range(batch.T, chunk, kFewTokens);
  ShortConvArgs call = args;
  call.position = position_of_batch(batch);
  batch.kernels->short_conv(call, range.begin, range.end);
}

size_t ShortConvKeepStep::chunks(const Batch&) const noexcept { return 1; }

void ShortConvKeepStep::run(const Batch& batch, size_t, size_t) const noexcept {
  const size_t kept = args.taps - 1;
  for (size_t t = batch.T - std::min(batch.T, kept); t < batch.T; ++t) {
    const float* x = args.x + t * args.x_stride;
    float* row = args.history + (position_of_batch(batch) + t) % kept * args.channels;
    std::memcpy(row, x, args.channels * sizeof(float));
    if (args.gate == nullptr) continue;
    const float* gate = args.gate + t * args.gate_stride;
    for (size_t c = 0; c < args.channels; ++c) row[c] *= gate[c];
  }
}

size_t DeltaPrepareStep::chunks(const Batch& batch) const noexcept {
  return ceil_div(batch.T, kFewTokens);
}

void DeltaPrepareStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const Range range = token_range(batch.T, chunk, kFewTokens);
  batch.kernels->delta_prepare(args, range.begin, range.end);
}

size_t DeltaRuleStep::chunks(const Batch& batch) const noexcept {
  const size_t ns = batch.T * args.H * delta_state_floats(args.K, args.V) / kDeltaValuesPerNs;
  const size_t most = batch.threads * kDeltaChunksPerThread;
  return std::clamp<size_t>(ns / kMinChunkNs, 1, std::min(most, args.H * delta_blocks(args.V)));
}

void DeltaRuleStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  DeltaRuleArgs call = args;
  call.T = batch.T;
  const size_t blocks = args.H * delta_blocks(args.V), pieces = chunks(batch);
  batch.kernels->delta_rule(call, blocks * chunk / pieces, blocks * (chunk + 1) / pieces);
}

size_t SplitHeadsStep::chunks(const Batch& batch) const noexcept {
  return ceil_div(batch.T, kManyTokens);
}

void SplitHeadsStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const Range range = token_range(batch.T, chunk, kManyTokens);
  for (size_t t = range.begin; t < range.end; ++t) {
    for (size_t h = 0; h < heads; ++h) {
      const float* head = x + t * x_stride + 2 * h * half;
      std::memcpy(first + t * first_stride + h * half, head, half * sizeof(float));
      std::memcpy(second + t * second_stride + h * half, head + half, half * sizeof(float));
    }
  }
}

}  // namespace gm
