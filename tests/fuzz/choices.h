// SPDX-License-Identifier: MIT
// The input of a fuzz target as a list of choices.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace gm::fuzz {

inline constexpr std::array<uint64_t, 14> kEdges = {
    0, 1, 2, 31, 32, 33, 255, 256, 4096, 1u << 20, 0xffffffff, 1ull << 32, 1ull << 62, ~0ull};

// Bytes as choices; zeros at the end.
class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  size_t below(size_t count) { return count == 0 ? 0 : byte() % count; }
  uint64_t number(uint64_t now) {
    switch (below(4)) {
      case 0:
        return kEdges[below(kEdges.size())];
      case 1:
        return now + below(5) - 2;
      case 2:
        return byte();
      default:
        return now * below(4);
    }
  }
  uint32_t id(uint32_t now) { return static_cast<uint32_t>(number(now)); }
  double real() {
    constexpr std::array<double, 8> kReals = {
        0.0, -1.0, 1e-30, 0.5, 2.0, 1e6, 1e300, std::numeric_limits<double>::quiet_NaN()};
    return kReals[below(kReals.size())];
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

}  // namespace gm::fuzz
