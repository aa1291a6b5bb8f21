// SPDX-License-Identifier: MIT
// The steps of a mixture of experts. Pairs (token, expert) are sorted by expert, so that an
// expert's weights are read once for all of its tokens, and those of an expert that nobody chose
// are not read. What a pair computes does not depend on the others and the sum over a token's
// experts has the order of its choices, so neither the batch nor the sorting changes a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/batch.h"

namespace gm {

// Scores -> chosen experts and their shares.
struct RouteStep {
  RouteArgs args;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

// The pairs of a batch, sorted by expert, then by token.
struct ExpertPairs {
  const float* routes;  // [T, routes_stride]
  size_t routes_stride, experts, used;
  uint32_t* table;  // of the arrays below
};

// For T tokens, one array behind the other.
struct PairTable {
  uint32_t* places;  // [T, used]: the pair of each choice
  uint32_t* tokens;  // [T used]: the token of each pair
  uint32_t* starts;  // [E + 1]: the first pair of each expert
  uint32_t* active;  // how many experts are used, and which

  PairTable(const ExpertPairs& pairs, size_t T) noexcept
      : places(pairs.table),
        tokens(places + T * pairs.used),
        starts(tokens + T * pairs.used),
        active(starts + pairs.experts + 1) {}
  size_t active_count() const noexcept { return active[0]; }
};

// The pairs of one expert: [first, first + T).
struct ExpertRun {
  size_t expert, first, T;
  ExpertRun(const PairTable& table, size_t i) noexcept
      : expert(table.active[1 + i]),
        first(table.starts[expert]),
        T(table.starts[expert + 1] - first) {}
};

struct SortPairsStep {
  ExpertPairs pairs;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

// The activations of each expert's tokens, in tiles of their own. A token alone needs none of it:
// its activations are those of every pair.
struct GatherStep {
  ExpertPairs pairs;
  GatherArgs args;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

// A product for each pair; args are those of expert 0 and its first pair.
struct ExpertsLinearStep {
  ExpertPairs pairs;
  std::vector<LinearPart> parts;        // panels are those of one expert
  std::vector<const uint32_t*> single;  // by part: activations of every pair of a token alone

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;

 private:
  size_t chunk_panels(const LinearPart& part, const Batch& batch,
                      const PairTable& table) const noexcept;
};

struct ExpertsGluStep {
  ExpertPairs pairs;
  GluArgs args;
  Activation activation;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

struct CombineStep {
  ExpertPairs pairs;
  CombineArgs args;

  size_t chunks(const Batch& batch) const noexcept;
  void run(const Batch& batch, size_t chunk, size_t worker) const noexcept;
};

}  // namespace gm
