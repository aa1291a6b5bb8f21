// SPDX-License-Identifier: MIT
// Keys and values of one sequence in pages of 64 positions per layer, as the attention kernel reads
// them: K pages [G][D][64] f16 (a lane is a position), V pages [G][64][D] f16. All pages of the
// context are mapped when the session starts, so forward allocates nothing; a page costs memory
// from the first position that is written to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "plan/plan.h"

namespace gm {

class KvCache {
 public:
  // Throws ResourceError.
  KvCache(const Plan& plan, size_t context);

  // [pages of the context]
  uint16_t* const* k_pages(size_t layer) const noexcept { return k_.data() + layer * pages_; }
  uint16_t* const* v_pages(size_t layer) const noexcept { return v_.data() + layer * pages_; }
  size_t bytes() const noexcept { return memory_.size(); }

  // Clears the values of positions [begin, end). A dropped position has weight 0 in attention, but
  // 0 times the infinity that it may hold would not be 0.
  void clear(size_t begin, size_t end) noexcept;

 private:
  std::vector<KvSpec> layers_;
  size_t pages_ = 0;  // per layer
  AlignedBuffer memory_;
  std::vector<uint16_t*> k_, v_;  // [layers, pages]
};

}  // namespace gm
