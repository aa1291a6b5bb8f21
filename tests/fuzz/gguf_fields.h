// SPDX-License-Identifier: MIT
// Where the fields of a GGUF file lie, for the mutator: it follows the layout as far as the bytes
// make sense and stops where they do not. Nothing of the reader is used.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace gm::fuzz {

struct Field {
  size_t offset = 0;
  size_t size = 0;  // 4 or 8
};

struct Span {
  size_t begin = 0, end = 0;
};

// Counts, lengths, types, dimensions and offsets; whole pairs and whole tensor entries.
class Fields {
 public:
  Fields(const uint8_t* data, size_t size) : data_(data), size_(size) {
    uint64_t tensor_count = 0, pair_count = 0;
    at_ = 4;
    if (!field(4) || !field(8, &tensor_count) || !field(8, &pair_count)) return;
    for (uint64_t i = 0; i < pair_count; ++i) {
      const size_t begin = at_;
      uint64_t type = 0;
      if (!string() || !field(4, &type) || !value(type, 0)) return;
      pairs.push_back({begin, at_});
    }
    for (uint64_t i = 0; i < tensor_count; ++i) {
      const size_t begin = at_;
      uint64_t dims = 0;
      if (!string() || !field(4, &dims) || dims > 4) return;
      for (uint64_t d = 0; d < dims; ++d) {
        if (!field(8)) return;
      }
      if (!field(4) || !field(8)) return;
      tensors.push_back({begin, at_});
    }
  }

  std::vector<Field> all;
  std::vector<Span> pairs, tensors;

 private:
  bool field(size_t size, uint64_t* out = nullptr) {
    if (size_ - at_ < size || at_ > size_) return false;
    all.push_back({at_, size});
    if (out != nullptr) {
      *out = 0;
      std::memcpy(out, data_ + at_, size);
    }
    at_ += size;
    return true;
  }
  bool skip(uint64_t count) {
    if (count > size_ - at_) return false;
    at_ += count;
    return true;
  }
  bool string() {
    uint64_t length = 0;
    return field(8, &length) && skip(length);
  }
  bool value(uint64_t type, int depth) {
    static constexpr uint8_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type >= sizeof kSizes || depth > 8) return false;
    if (type == 8) return string();
    if (type != 9) return kSizes[type] >= 4 ? field(kSizes[type]) : skip(kSizes[type]);
    uint64_t element = 0, count = 0;
    if (!field(4, &element) || !field(8, &count) || element >= sizeof kSizes) return false;
    if (kSizes[element] != 0)
      return count <= size_ / kSizes[element] && skip(count * kSizes[element]);
    for (uint64_t i = 0; i < count; ++i) {
      if (!value(element, depth + 1)) return false;
    }
    return true;
  }

  const uint8_t* data_;
  size_t size_, at_ = 0;
};

}  // namespace gm::fuzz
