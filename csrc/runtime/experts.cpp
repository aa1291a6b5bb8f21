// SPDX-License-Identifier: MIT
// Work is cut by token where tokens are independent, else by expert, and products by expert and
// rows; experts that nobody chose have no chunk.
#include "runtime/experts.h"

#include <algorithm>

#include "formats/activation.h"

namespace gm {
namespace {

constexpr size_t kTokensPerChunk = 16;  // to route and to combine: a few microseconds
constexpr size_t kFewPairs = 32;        // whose activations one thread makes as fast as several

struct Range {
  size_t begin, end;
};

size_t token_chunks(const Batch& batch) noexcept { return ceil_div(batch.T, kTokensPerChunk); }

Range token_range(const Batch& batch, size_t chunk) noexcept {
  return {chunk * kTokensPerChunk, std::min(batch.T, (chunk + 1) * kTokensPerChunk)};
}

bool is_small(const ExpertPairs& pairs, const Batch& batch) noexcept {
  return batch.T * pairs.used <= kFewPairs;
}

// By expert, or all in one chunk.
size_t expert_chunks(const ExpertPairs& pairs, const Batch& batch) noexcept {
  return is_small(pairs, batch) ? 1 : PairTable(pairs, batch.T).active_count();
}

template <class F>
void for_experts(const ExpertPairs& pairs, const Batch& batch, size_t chunk, F&& f) {
  const PairTable table(pairs, batch.T);
  const bool all = is_small(pairs, batch);
  const size_t end = all ? table.active_count() : chunk + 1;
  for (size_t i = all ? 0 : chunk; i < end; ++i) f(table, ExpertRun(table, i));
}

// The activations from pair `first` on.
void move_to(uint32_t* (&act)[kActKindCount], size_t first, size_t K) noexcept {
  for (size_t kind = 0; kind < kActKindCount; ++kind)
    if (act[kind] != nullptr) act[kind] += first * act_dwords(static_cast<ActKind>(kind), K);
}

}  // namespace

size_t RouteStep::chunks(const Batch& batch) const noexcept { return token_chunks(batch); }

void RouteStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  const Range range = token_range(batch, chunk);
  RouteArgs call = args;
  call.row = batch.row_of(worker);
  batch.kernels->route(call, range.begin, range.end);
}

size_t SortPairsStep::chunks(const Batch&) const noexcept { return 1; }

void SortPairsStep::run(const Batch& batch, size_t, size_t) const noexcept {
  const PairTable table(pairs, batch.T);
  const size_t E = pairs.experts, used = pairs.used;
  uint32_t* starts = table.starts;
  const auto expert_of = [&](size_t t, size_t choice) {
    return static_cast<size_t>(pairs.routes[t * pairs.routes_stride + choice]);
  };
  std::fill_n(starts, E + 1, 0u);
  for (size_t t = 0; t < batch.T; ++t)
    for (size_t choice = 0; choice < used; ++choice) ++starts[expert_of(t, choice) + 1];
  uint32_t count = 0;
  for (size_t e = 0; e < E; ++e) {
    if (starts[e + 1] != 0) table.active[++count] = static_cast<uint32_t>(e);
    starts[e + 1] += starts[e];
  }
  table.active[0] = count;
  for (size_t t = 0; t < batch.T; ++t) {
    for (size_t choice = 0; choice < used; ++choice) {
      const uint32_t pair = starts[expert_of(t, choice)]++;  // in the end where the next one begins
      table.tokens[pair] = static_cast<uint32_t>(t);
      table.places[t * used + choice] = pair;
    }
  }
  std::copy_backward(starts, starts + E, starts + E + 1);
  starts[0] = 0;
}

size_t GatherStep::chunks(const Batch& batch) const noexcept {
  return batch.T == 1 ? 0 : expert_chunks(pairs, batch);
}

void GatherStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  for_experts(pairs, batch, chunk, [&](const PairTable& table, const ExpertRun& run) {
    GatherArgs call = args;
    move_to(call.to, run.first, call.K);
    call.tokens = table.tokens + run.first;
    call.from_T = batch.T;
    call.T = run.T;
    batch.kernels->gather(call);
  });
}

size_t ExpertsLinearStep::chunk_panels(const LinearPart& part, const Batch& batch,
                                       const PairTable& table) const noexcept {
  const size_t experts = table.active_count();
  const size_t T = ceil_div(batch.T * pairs.used, experts);
  return std::min(part.panels, panels_per_chunk(part, parts, T, experts, batch.threads));
}

size_t ExpertsLinearStep::chunks(const Batch& batch) const noexcept {
  const PairTable table(pairs, batch.T);
  size_t total = 0;
  for (const LinearPart& part : parts)
    total += ceil_div(part.panels, chunk_panels(part, batch, table));
  return total * table.active_count();
}

void ExpertsLinearStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  const PairTable table(pairs, batch.T);
  const size_t per_expert = chunks(batch) / table.active_count();
  const ExpertRun run(table, chunk / per_expert);
  chunk %= per_expert;
  for (size_t i = 0; i < parts.size(); ++i) {
    const LinearPart& part = parts[i];
    const size_t step = chunk_panels(part, batch, table), here = ceil_div(part.panels, step);
    if (chunk >= here) {
      chunk -= here;
      continue;
    }
    LinearArgs call = part.args;
    call.panels += run.expert * part.panels * part.panel_bytes;
    if (call.bias != nullptr) call.bias += run.expert * call.rows;
    call.act = batch.T == 1 && single[i] != nullptr
                   ? single[i]
                   : call.act + run.first * act_dwords(type_info(part.format).act, call.K);
    call.T = run.T;
    call.out += run.first * call.out_stride;
    call.scratch = batch.scratch_of(worker);
    return batch.kernels->linear[static_cast<size_t>(part.format)](
        call, chunk * step, std::min((chunk + 1) * step, part.panels));
  }
}

size_t ExpertsGluStep::chunks(const Batch& batch) const noexcept {
  return expert_chunks(pairs, batch);
}

void ExpertsGluStep::run(const Batch& batch, size_t chunk, size_t worker) const noexcept {
  for_experts(pairs, batch, chunk, [&](const PairTable&, const ExpertRun& run) {
    GluArgs call = args;
    call.quant.x += run.first * call.quant.stride;
    call.up += run.first * call.up_stride;
    call.quant.T = run.T;
    move_to(call.quant.act, run.first, call.quant.K);
    call.row = batch.row_of(worker);
    batch.kernels->glu[static_cast<size_t>(activation)](call, 0, run.T);
  });
}

size_t CombineStep::chunks(const Batch& batch) const noexcept { return token_chunks(batch); }

void CombineStep::run(const Batch& batch, size_t chunk, size_t) const noexcept {
  const Range range = token_range(batch, chunk);
  CombineArgs call = args;
  call.places = PairTable(pairs, batch.T).places;
  batch.kernels->combine(call, range.begin, range.end);
}

}  // namespace gm
