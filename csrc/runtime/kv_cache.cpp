// SPDX-License-Identifier: MIT
// One anonymous map: per layer its pages, each a K page and then a V page.
#include "runtime/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/error.h"

namespace gm {
namespace {

// Bytes of a K page or a V page of all heads.
size_t page_bytes(const KvSpec& kv, KvType type) noexcept {
  return kv.heads * kv_head_bytes(type, kv.head_dim);
}

size_t pages_of(size_t context) noexcept { return (context + kPagePositions - 1) / kPagePositions; }

// The last head of the last page is read in whole vectors, even where it has fewer channels.
constexpr uint64_t kTail = 64;

void check_blocks(const std::vector<KvSpec>& layers, KvType type) {
  for (size_t i = 0; i < layers.size() && type != KvType::F16; ++i) {
    if (layers[i].head_dim % kKvBlock == 0) continue;
    throw UnsupportedError("[kv cache] " + std::string(kKvTypeNames[static_cast<size_t>(type)]) +
                           " needs heads of whole blocks of " + std::to_string(kKvBlock) +
                           " channels. Got " + std::to_string(layers[i].head_dim) + " in layer " +
                           std::to_string(i) + ". Use f16.");
  }
}

size_t cache_bytes(const std::vector<KvSpec>& layers, KvType type, size_t pages) {
  check_blocks(layers, type);
  uint64_t total = kTail;
  for (const KvSpec& kv : layers) {
    uint64_t layer = 0;
    if (!checked_mul(page_bytes(kv, type) * 2, pages, &layer) ||
        !checked_add(total, layer, &total)) {
      throw ResourceError("[kv cache] The context must fit into memory. Got " +
                          std::to_string(pages * kPagePositions) + " positions.");
    }
  }
  return total;
}

}  // namespace

size_t KvCache::bytes_for(const Plan& plan, KvType type, size_t context) {
  return cache_bytes(plan.layers, type, pages_of(context));
}

KvCache::KvCache(const Plan& plan, KvType type, size_t context)
    : type_(type),
      layers_(plan.layers),
      pages_(pages_of(context)),
      memory_(cache_bytes(layers_, type, pages_), "the KV cache") {
  k_.reserve(layers_.size() * pages_);
  v_.reserve(layers_.size() * pages_);
  uint8_t* next = memory_.data();
  for (const KvSpec& kv : layers_) {
    for (size_t page = 0; page < pages_; ++page) {
      k_.push_back(next);
      v_.push_back(next + page_bytes(kv, type));
      next += 2 * page_bytes(kv, type);
    }
  }
}

void KvCache::clear(size_t begin, size_t end) noexcept {
  if (type_ != KvType::F16) return;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    const KvSpec& kv = layers_[layer];
    const size_t position_bytes = kv.head_dim * sizeof(uint16_t);
    for (size_t position = begin; position < end;) {
      const size_t page = position / kPagePositions;
      const size_t first = position % kPagePositions;
      const size_t count = std::min(kPagePositions - first, end - position);
      for (size_t g = 0; g < kv.heads; ++g) {
        uint8_t* head = v_pages(layer)[page] + g * kv_head_bytes(type_, kv.head_dim);
        std::memset(head + first * position_bytes, 0, count * position_bytes);
      }
      position += count;
    }
  }
}

}  // namespace gm
