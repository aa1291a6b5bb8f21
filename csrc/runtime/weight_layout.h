// SPDX-License-Identifier: MIT
// Where each weight of a plan will lie, from the file's header alone: the one place that knows how
// many bytes a model takes. Loading allocates by it, sessions lay out their buffers by it, and
// `gristmill plan` adds it up without a byte of weights in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "gguf/file.h"
#include "kernels/kernel_table.h"
#include "plan/plan.h"

namespace gm {

struct WeightPlace {
  const gguf::TensorInfo* tensor = nullptr;
  WeightUse use;
  uint64_t first_row = 0;  // of the tensor
  uint64_t row_count = 0;
  uint64_t panel_offset = 0;   // of its panels, if use.panels
  uint64_t vector_offset = 0;  // of its f32 values, if use.vector or use.columns

  Format format() const noexcept { return tensor->type.format; }
  size_t rows() const noexcept { return row_count; }
  size_t K() const noexcept { return tensor->cols(); }
  // Where row `row` lies, in bytes from the tensor's start.
  size_t row_offset(size_t row) const noexcept { return (first_row + row) * tensor->row_bytes(); }
  uint64_t vector_bytes() const noexcept { return row_count * tensor->cols() * sizeof(float); }
  size_t panels() const noexcept { return (rows() + kPanelRows - 1) / kPanelRows; }
};

// Panels of a weight that are packed between two rounds of letting the file's pages go.
size_t segment_panels(const WeightPlace& weight) noexcept;

struct WeightLayout {
  std::vector<WeightPlace> places;  // by WeightId
  uint64_t panel_bytes = 0;         // of all panels
  uint64_t vector_bytes = 0;        // of all f32 vectors
  uint64_t mapped_bytes = 0;        // rows that stay in the file's map
  uint64_t bytes_per_token = 0;     // that one decoded token reads
};

// Throws ShapeError, UnsupportedError (validate_weights) and ResourceError (beyond 2^63 bytes). The
// tensors point into `file`.
WeightLayout layout_weights(const Plan& plan, const gguf::File& file);

}  // namespace gm
