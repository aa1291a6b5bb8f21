// SPDX-License-Identifier: MIT
// What the grid and ternary formats share: 256 values are codes of a small table, a scale for every
// 16 or 32 of them and one f16 for all,
//   x = d * unit * (scales[s] * values[code] - mins[s]).
// A format is its CodeBook and codes(), which takes a block apart; decode() and the panels
// (panels/recode.h) follow from these. The integers and d have so few bits that every product is
// exact in f32, whatever its order.
#pragma once

#include <bit>

#include "formats/block.h"

namespace gm {

// A block taken apart. 8 codes at a time are written as one word, little endian.
struct Codes256 {
  uint8_t scales[16];  // of 16 values each, codes into CodeBook::scales
  alignas(8) uint8_t codes[256];

  void put(size_t at, uint64_t eight) noexcept { std::memcpy(codes + at, &eight, 8); }
};

struct CodeBook {
  float unit;  // a power of two
  int8_t values[16];
  uint8_t scales[16];
  uint8_t mins[16];
};

// Scales 1, 3, .. 31 without minima.
constexpr CodeBook odd_scales(float unit, CodeBook book) noexcept {
  book.unit = unit;
  for (int s = 0; s < 16; ++s) book.scales[s] = static_cast<uint8_t>(2 * s + 1);
  return book;
}

// Magnitudes, then the same negated.
template <size_t n>
constexpr CodeBook signed_values(float unit, const int8_t (&magnitudes)[n]) noexcept {
  CodeBook book{};
  for (size_t i = 0; i < n; ++i) {
    book.values[i] = magnitudes[i];
    book.values[n + i] = static_cast<int8_t>(-magnitudes[i]);
  }
  return odd_scales(unit, book);
}

// Bits 2 i and 2 i + 1 of v as byte i.
constexpr uint64_t bytes_of_pairs(uint64_t v) noexcept {
  v = (v | v << 24) & 0x000000ff000000ffu;
  v = (v | v << 12) & 0x000f000f000f000fu;
  return (v | v << 6) & 0x0303030303030303u;
}
// Bits 3 i to 3 i + 2 of v as byte i, i < 4.
constexpr uint64_t bytes_of_triples(uint64_t v) noexcept {
  v = (v | v << 10) & 0x003f003fu;
  return (v | v << 5) & 0x07070707u;
}
// Bit i of v as byte i.
constexpr uint64_t bytes_of_bits(uint64_t v) noexcept {
  v = (v | v << 28) & 0x0000000f0000000fu;
  v = (v | v << 14) & 0x0003000300030003u;
  return (v | v << 7) & 0x0101010101010101u;
}
// Seven signs as eight: their number is even.
constexpr uint64_t even_signs(uint32_t seven) noexcept {
  return seven | (static_cast<uint64_t>(std::popcount(seven) & 1) << 7);
}

template <class Block>
void decode_codes(const Block& block, float* out) noexcept {
  constexpr const CodeBook& book = Block::kBook;
  Codes256 c;
  block.codes(c);
  const float d = f16_to_f32(block.d_bits()) * book.unit;
  for (size_t k = 0; k < 256; ++k) {
    const size_t s = c.scales[k / 16];
    out[k] = d * static_cast<float>(book.scales[s] * book.values[c.codes[k]] - book.mins[s]);
  }
}

}  // namespace gm
