// SPDX-License-Identifier: MIT
// Keys and values of one sequence in pages of 64 positions per layer, as the attention kernels read
// them (formats/kv_page.h). All pages of the context are mapped when the session starts, so forward
// allocates nothing; a page costs memory from the first position that is written to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "formats/kv_page.h"
#include "plan/plan.h"

namespace gm {

class KvCache {
 public:
  // Bytes of a cache of `context` positions. Throws ResourceError beyond 2^63, UnsupportedError
  // for heads that the type has no whole blocks for.
  static size_t bytes_for(const Plan& plan, KvType type, size_t context);
  // Throws what bytes_for does.
  KvCache(const Plan& plan, KvType type, size_t context);

  // [pages of the context]
  uint8_t* const* k_pages(size_t layer) const noexcept { return k_.data() + layer * pages_; }
  uint8_t* const* v_pages(size_t layer) const noexcept { return v_.data() + layer * pages_; }
  KvType type() const noexcept { return type_; }
  size_t bytes() const noexcept { return memory_.size(); }

  // Clears the values of positions [begin, end). A dropped position has weight 0 in attention, but
  // 0 times the infinity that an f16 page may hold would not be 0. Quantized pages hold integers
  // and finite scales.
  void clear(size_t begin, size_t end) noexcept;

 private:
  KvType type_;
  std::vector<KvSpec> layers_;
  size_t pages_ = 0;  // per layer
  AlignedBuffer memory_;
  std::vector<uint8_t*> k_, v_;  // [layers, pages]
};

}  // namespace gm
