// SPDX-License-Identifier: MIT
// One anonymous map: per layer its pages, each a K page and then a V page.
#include "runtime/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "kernels/kernel_table.h"

namespace gm {
namespace {

// f16 values of a K page or a V page.
size_t page_values(const KvSpec& kv) noexcept { return kv.heads * kv.head_dim * kPagePositions; }

// The last head of the last page is read in whole vectors, even where it has fewer channels.
constexpr uint64_t kTail = 64;

size_t cache_bytes(const std::vector<KvSpec>& layers, size_t pages) {
  uint64_t total = kTail;
  for (const KvSpec& kv : layers) {
    uint64_t layer = 0;
    if (!checked_mul(page_values(kv) * 2 * sizeof(uint16_t), pages, &layer) ||
        !checked_add(total, layer, &total)) {
      throw ResourceError("[kv cache] The context must fit into memory. Got " +
                          std::to_string(pages * kPagePositions) + " positions.");
    }
  }
  return total;
}

}  // namespace

KvCache::KvCache(const Plan& plan, size_t context)
    : layers_(plan.layers),
      pages_((context + kPagePositions - 1) / kPagePositions),
      memory_(cache_bytes(layers_, pages_), "the KV cache") {
  k_.reserve(layers_.size() * pages_);
  v_.reserve(layers_.size() * pages_);
  auto* next = reinterpret_cast<uint16_t*>(memory_.data());
  for (const KvSpec& kv : layers_) {
    for (size_t page = 0; page < pages_; ++page) {
      k_.push_back(next);
      v_.push_back(next + page_values(kv));
      next += 2 * page_values(kv);
    }
  }
}

void KvCache::clear(size_t begin, size_t end) noexcept {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    const KvSpec& kv = layers_[layer];
    for (size_t position = begin; position < end;) {
      const size_t page = position / kPagePositions;
      const size_t first = position % kPagePositions;
      const size_t count = std::min(kPagePositions - first, end - position);
      for (size_t g = 0; g < kv.heads; ++g) {
        uint16_t* head = v_pages(layer)[page] + g * kPagePositions * kv.head_dim;
        std::memset(head + first * kv.head_dim, 0, count * kv.head_dim * sizeof(uint16_t));
      }
      position += count;
    }
  }
}

}  // namespace gm
