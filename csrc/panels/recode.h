// SPDX-License-Identifier: MIT
// Panels of the formats whose blocks are not just permuted. A grid entry is a lookup per 4 or 8
// values, a ternary byte five divisions: too slow for the kernels, so packing writes out the codes
// of formats/codes.h, with 2, 3 or 4 bits. A row of a block becomes d (f16), nibbles that are the
// codes of its scales, and the codes; 32 bytes of tables follow the 16 d of a panel block, so that
// formats with the same code size share their kernels. In bytes per 256 values, the tables
// included:
//   codes2   72  IQ1_S (50 in the file), TQ1_0 (54), TQ2_0 (66)
//   codes3  108  IQ1_M (56), IQ2_XXS (66), IQ2_XS (74), IQ2_S (82)
//   codes4  136  IQ3_XXS (98), IQ3_S (110)
#pragma once

#include "formats/code_tables.h"
#include "formats/codes.h"

namespace gm {

// What stands behind the d of a panel block.
struct CodeTables {
  uint8_t bytes[32] = {};
};

// codes3, codes4: the values of the codes, made unsigned.
template <class Block>
constexpr CodeTables value_tables(int offset) noexcept {
  CodeTables tables;
  for (int i = 0; i < 16; ++i)
    tables.bytes[i] = static_cast<uint8_t>(Block::kBook.values[i] + offset);
  return tables;
}
// codes2: scales and minima; a code is its value.
template <class Block>
constexpr CodeTables scale_tables() noexcept {
  CodeTables tables;
  for (int i = 0; i < 16; ++i) {
    tables.bytes[i] = Block::kBook.scales[i];
    tables.bytes[16 + i] = Block::kBook.mins[i];
  }
  return tables;
}

constexpr bool has_odd_scales(const CodeBook& book) noexcept {
  for (int i = 0; i < 16; ++i)
    if (book.scales[i] != 2 * i + 1 || book.mins[i] != 0) return false;
  return true;
}

// Eight codes at a time; the codes are few enough bits that no shift carries into another byte.
struct CodeWords {
  Codes256 codes;
  uint64_t operator()(size_t at) const noexcept {
    uint64_t word;
    std::memcpy(&word, codes.codes + at, 8);
    return word;
  }
};

// The codes of a block; d and kScales nibbles of scales are written to out: byte i is that of the
// i-th group in the low nibble, in the high one that of group i + half of the groups.
template <class Block, size_t kGroups>
CodeWords begin_row(const uint8_t* in, uint8_t* out) noexcept {
  Block block;
  std::memcpy(&block, in, sizeof block);
  CodeWords words;
  block.codes(words.codes);
  const uint16_t d = block.d_bits();
  std::memcpy(out, &d, 2);
  constexpr size_t kHalf = kGroups / 2, kStep = 16 / kGroups;
  const uint8_t* scales = words.codes.scales;
  for (size_t i = 0; i < kHalf; ++i)
    out[2 + i] = static_cast<uint8_t>(scales[i * kStep] | scales[(i + kHalf) * kStep] << 4);
  return words;
}

// Byte b: codes b, 64 + b, 128 + b, 192 + b.
template <class Block>
void to_codes2(const uint8_t* block, uint8_t* out) noexcept {
  static_assert(Block::kBook.unit == kCodes2Unit);
  const CodeWords code = begin_row<Block, 8>(block, out);
  for (size_t at = 0; at < 64; at += 8) {
    const uint64_t word = code(at) | code(at + 64) << 2 | code(at + 128) << 4 | code(at + 192) << 6;
    std::memcpy(out + 6 + at, &word, 8);
  }
}

// The 8 codes of byte l (values 32 k + l) in 3 bytes, 32 bytes apart, as in Q3_K: codes 0 and 1, 2
// and 3, 4 and 5 in the low 6 bits, low bits of code 6 and 7 above the first two, their third bits
// above the last.
template <class Block>
void to_codes3(const uint8_t* block, uint8_t* out) noexcept {
  static_assert(Block::kBook.unit == kCodes3Unit && has_odd_scales(Block::kBook));
  constexpr uint64_t kEachByte = 0x0101010101010101u;
  const CodeWords code = begin_row<Block, 16>(block, out);
  for (size_t at = 0; at < 32; at += 8) {
    const uint64_t six = code(at + 192), seven = code(at + 224);
    const uint64_t top = (six >> 2 & kEachByte) | (seven >> 1 & (2 * kEachByte));
    const uint64_t words[3] = {code(at) | code(at + 32) << 3 | (six & (3 * kEachByte)) << 6,
                               code(at + 64) | code(at + 96) << 3 | (seven & (3 * kEachByte)) << 6,
                               code(at + 128) | code(at + 160) << 3 | top << 6};
    for (size_t i = 0; i < 3; ++i) std::memcpy(out + 10 + 32 * i + at, words + i, 8);
  }
}

// Sub-block j of 32: byte i of 16: codes i and i + 16.
template <class Block>
void to_codes4(const uint8_t* block, uint8_t* out) noexcept {
  static_assert(Block::kBook.unit == kCodes4Unit && has_odd_scales(Block::kBook));
  const CodeWords code = begin_row<Block, 8>(block, out);
  for (size_t at = 0; at < 256; at += 8) {
    if (at % 32 >= 16) continue;
    const uint64_t word = code(at) | code(at + 16) << 4;
    std::memcpy(out + 6 + at / 32 * 16 + at % 16, &word, 8);
  }
}

}  // namespace gm
