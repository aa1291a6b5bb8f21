// SPDX-License-Identifier: MIT
// cos and sin of every position and rotated pair, computed once for a context without libm, so that
// rotary embeddings are the same bits everywhere. Sessions of a model share the tables.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned_buffer.h"
#include "plan/plan.h"

namespace gm {

class RopeTable {
 public:
  // Bytes of a table. Throws ResourceError beyond 2^63.
  static size_t bytes_for(const RopeSpec& spec, size_t context);

  // factors [n_rot / 2] f32, or null. Throws ResourceError, or FormatError when an angle leaves the
  // range in which sin and cos are exact.
  RopeTable(const RopeSpec& spec, const float* factors, size_t context);

  // [context, n_rot]: cos of pair i at 2 i, sin at 2 i + 1.
  const float* cos_sin() const noexcept { return reinterpret_cast<const float*>(table_.data()); }
  // [context], or null: what queries are multiplied by.
  const float* query_scales() const noexcept { return query_scales_; }
  size_t bytes() const noexcept { return table_.size(); }

 private:
  AlignedBuffer table_;
  const float* query_scales_ = nullptr;  // behind the rows
};

// The factors that a session of `context` positions takes.
WeightId factors_for(const RopeSpec& spec, size_t context) noexcept;

struct RopeTables {
  size_t context = 0;
  std::vector<RopeTable> tables;  // by RopeSpec
  size_t bytes() const noexcept;
  // Whether sessions of `wanted` positions may read these tables: rows go as far, and no rope
  // changes its factors between the two lengths.
  bool serve(const std::vector<RopeSpec>& specs, size_t wanted) const noexcept;
};

}  // namespace gm
