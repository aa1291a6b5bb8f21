// SPDX-License-Identifier: MIT
// A panel block is its 16 GGUF blocks with every field transposed: unit u of row r lands at
// 16 u + r. The field tables below are all there is to a layout. Some formats first rewrite a few
// bits of each block (a bijection) so that the kernels can expand them with shifts alone; those of
// recode.h write other blocks.
#include "panels/panel.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "base/hash.h"

#include "formats/iq1_m.h"
#include "formats/iq1_s.h"
#include "formats/iq2_s.h"
#include "formats/iq2_xs.h"
#include "formats/iq2_xxs.h"
#include "formats/iq3_s.h"
#include "formats/iq3_xxs.h"
#include "formats/iq4_xs.h"
#include "formats/tq1_0.h"
#include "formats/tq2_0.h"
#include "panels/recode.h"

namespace gm {
namespace {

struct Field {
  uint8_t units;       // units per block
  uint8_t unit_bytes;  // 1, 2 or 4; 0 ends the table
};

// Q4_K, Q5_K scales: byte j < 8 = low nibbles of scale j and min j; byte 8 + i = the high 2 bits of
// scale i, min i, scale i + 4, min i + 4. Four bytes at a time: formats/k_scales.h says where the
// file has what, and no shift below carries a bit from one byte into another.
void k_scales_to_panel(uint8_t* block) noexcept {
  uint32_t w[3];
  std::memcpy(w, block + 4, 12);
  const uint32_t low = (w[0] & 0x0f0f0f0fu) | ((w[1] & 0x0f0f0f0fu) << 4);
  const uint32_t high = ((w[0] & 0x30303030u) >> 4) | ((w[1] & 0x30303030u) >> 2) |
                        ((w[0] & 0xc0c0c0c0u) >> 2) | (w[1] & 0xc0c0c0c0u);
  const uint32_t out[3] = {low, w[2], high};
  std::memcpy(block + 4, out, 12);
}

void k_scales_from_panel(uint8_t* block) noexcept {
  uint32_t w[3];
  std::memcpy(w, block + 4, 12);
  const uint32_t scales =
      (w[0] & 0x0f0f0f0fu) | ((w[2] & 0x03030303u) << 4) | ((w[2] & 0x30303030u) << 2);
  const uint32_t mins =
      ((w[0] >> 4) & 0x0f0f0f0fu) | ((w[2] & 0x0c0c0c0cu) << 2) | (w[2] & 0xc0c0c0c0u);
  const uint32_t out[3] = {scales, mins, w[1]};
  std::memcpy(block + 4, out, 12);
}

// Q3_K: the 8 codes of byte l (values 32 k + l) in 3 bytes, 32 bytes apart, inverted: codes 0 and
// 1, 2 and 3, 4 and 5 in the low 6 bits, low bits of code 6 and 7 above the first two, their third
// bits above the last. 8 values of l at a time; no shift carries a bit from one byte into another.
constexpr uint64_t kEachByte = 0x0101010101010101u;

void q3_k_codes_to_panel(uint8_t* block) noexcept {
  for (size_t at = 0; at < 32; at += 8) {
    uint64_t in[3];  // hmask, the two halves of qs
    for (size_t i = 0; i < 3; ++i) std::memcpy(in + i, block + 32 * i + at, 8);
    uint64_t code[8];
    for (size_t k = 0; k < 8; ++k)
      code[k] = ((in[1 + k / 4] >> (k % 4 * 2)) & (3 * kEachByte)) | ((in[0] >> k) & kEachByte)
                                                                         << 2;
    const uint64_t low6 = code[6] & (3 * kEachByte), low7 = code[7] & (3 * kEachByte);
    const uint64_t top = (code[6] >> 2 & kEachByte) | (code[7] >> 1 & (2 * kEachByte));
    const uint64_t out[3] = {~(code[0] | code[1] << 3 | low6 << 6),
                             ~(code[2] | code[3] << 3 | low7 << 6),
                             ~(code[4] | code[5] << 3 | top << 6)};
    for (size_t i = 0; i < 3; ++i) std::memcpy(block + 32 * i + at, out + i, 8);
  }
}

void q3_k_codes_from_panel(uint8_t* block) noexcept {
  for (size_t at = 0; at < 32; at += 8) {
    uint64_t in[3], out[3] = {};
    for (size_t i = 0; i < 3; ++i) {
      std::memcpy(in + i, block + 32 * i + at, 8);
      in[i] = ~in[i];
    }
    for (size_t k = 0; k < 8; ++k) {
      const uint64_t code = k < 6 ? in[k / 2] >> (k % 2 * 3) & (7 * kEachByte)
                                  : (in[k - 6] >> 6 & (3 * kEachByte)) | (in[2] >> k & kEachByte)
                                                                             << 2;
      out[0] |= (code >> 2 & kEachByte) << k;
      out[1 + k / 4] |= (code & (3 * kEachByte)) << (k % 4 * 2);
    }
    for (size_t i = 0; i < 3; ++i) std::memcpy(block + 32 * i + at, out + i, 8);
  }
}

// IQ4_XS scales: byte i < 4 = low nibbles of scale i and scale i + 4; bits 2 k and 2 k + 1 of byte
// 4 + i = the high 2 bits of scale 2 k + i.
void iq4_xs_scales_to_panel(uint8_t* block) noexcept {
  IQ4_XSScales in;
  std::memcpy(&in, block + 2, 6);
  uint8_t* out = block + 2;
  std::memset(out, 0, 6);
  for (size_t j = 0; j < 8; ++j) {
    out[j % 4] |= static_cast<uint8_t>((in.get(j) & 15) << (j / 4 * 4));
    out[4 + j % 2] |= static_cast<uint8_t>((in.get(j) >> 4) << (j / 2 * 2));
  }
}

void iq4_xs_scales_from_panel(uint8_t* block) noexcept {
  const uint8_t* in = block + 2;
  IQ4_XSScales out{};
  for (size_t j = 0; j < 8; ++j) {
    const int low = (in[j % 4] >> (j / 4 * 4)) & 15;
    out.add(j, low | (((in[4 + j % 2] >> (j / 2 * 2)) & 3) << 4));
  }
  std::memcpy(block + 2, &out, 6);
}

// The bits 0, 4, ..., 28 of a word as a byte, and back.
constexpr uint32_t every_fourth_bit(uint32_t v) noexcept {
  v &= 0x11111111u;
  v = (v | v >> 3) & 0x03030303u;
  v = (v | v >> 6) & 0x000f000fu;
  return (v | v >> 12) & 0xffu;
}
constexpr uint32_t to_every_fourth_bit(uint32_t v) noexcept {
  v = (v | v << 12) & 0x000f000fu;
  v = (v | v << 6) & 0x03030303u;
  return (v | v << 3) & 0x11111111u;
}

// Q1_0 and the fifth bits of Q5_0, Q5_1, for 32 values: bit c of byte i is that of value 4 c + i;
// in the file bit k is that of value k.
template <size_t kAt, bool kToPanel, size_t kCount = 1>
void bits_by_line(uint8_t* block) noexcept {
  for (size_t at = kAt; at < kAt + 4 * kCount; at += 4) {
    uint32_t in = 0, out = 0;
    std::memcpy(&in, block + at, 4);
    for (uint32_t i = 0; i < 4; ++i)
      out |= kToPanel ? every_fourth_bit(in >> i) << 8 * i
                      : to_every_fourth_bit(in >> 8 * i & 0xff) << i;
    std::memcpy(block + at, &out, 4);
  }
}

// Q2_0: for 16 values, bits 2 s and 2 s + 1 of byte i are value 4 s + i; in the file value 4 i + s.
// Its own inverse.
void q2_0_codes(uint8_t* block) noexcept {
  for (size_t at = 2; at < 18; at += 4) {
    uint32_t v = 0;
    std::memcpy(&v, block + at, 4);
    // Pairs (s, i) and (i, s) change places: first within 2 x 2 of them, then these.
    uint32_t t = (v ^ v >> 6) & 0x00cc00ccu;
    v ^= t ^ t << 6;
    t = (v ^ v >> 12) & 0x0000f0f0u;
    v ^= t ^ t << 12;
    std::memcpy(block + at, &v, 4);
  }
}

// NVFP4: scales without the bit that means nothing, and 0 for NaN.
void nvfp4_scales(uint8_t* block) noexcept {
  for (size_t i = 0; i < 4; ++i)
    block[i] = block[i] == 0x7f ? 0 : static_cast<uint8_t>(block[i] & 0x7f);
}

struct Layout {
  std::array<Field, 5> fields;
  void (*to_panel)(uint8_t*) noexcept = nullptr;
  void (*from_panel)(uint8_t*) noexcept = nullptr;
  // Formats of recode.h: the row of a block, and what stands behind the first field.
  void (*recode)(const uint8_t* block, uint8_t* row) noexcept = nullptr;
  CodeTables tables = {};
};

template <class Block>
constexpr Layout kCodes2 = {{{{1, 2}, {4, 1}, {16, 4}}},  // d, scales, codes
                            nullptr,
                            nullptr,
                            to_codes2<Block>,
                            scale_tables<Block>()};
template <class Block>
constexpr Layout kCodes3 = {{{{1, 2}, {8, 1}, {24, 4}}},
                            nullptr,
                            nullptr,
                            to_codes3<Block>,
                            value_tables<Block>(kCodes3Offset)};
template <class Block>
constexpr Layout kCodes4 = {{{{1, 2}, {4, 1}, {32, 4}}},
                            nullptr,
                            nullptr,
                            to_codes4<Block>,
                            value_tables<Block>(kCodes4Offset)};

constexpr Layout kF32 = {{{{1, 4}}}};
constexpr Layout kF16 = {{{{1, 2}}}};
constexpr Layout kBF16 = kF16;
constexpr Layout kQ4_0 = {{{{1, 2}, {4, 4}}}};         // d, qs
constexpr Layout kQ4_1 = {{{{2, 2}, {4, 4}}}};         // d m, qs
constexpr Layout kQ5_0 = {{{{1, 2}, {1, 4}, {4, 4}}},  // d, qh, qs
                          bits_by_line<2, true>,
                          bits_by_line<2, false>};
constexpr Layout kQ5_1 = {{{{2, 2}, {1, 4}, {4, 4}}},  // d m, qh, qs
                          bits_by_line<4, true>,
                          bits_by_line<4, false>};
constexpr Layout kQ8_0 = {{{{1, 2}, {8, 4}}}};           // d, q
constexpr Layout kQ2_K = {{{{8, 2}, {16, 4}, {2, 2}}}};  // scales, qs, d dmin
constexpr Layout kQ3_K = {{{{24, 4}, {6, 2}, {1, 2}}},   // codes, scales, d
                          q3_k_codes_to_panel,
                          q3_k_codes_from_panel};
constexpr Layout kQ4_K = {{{{2, 2}, {12, 1}, {32, 4}}},  // d dmin, scales, qs
                          k_scales_to_panel,
                          k_scales_from_panel};
constexpr Layout kQ5_K = {{{{2, 2}, {12, 1}, {8, 4}, {32, 4}}},  // ..., qh, qs
                          k_scales_to_panel,
                          k_scales_from_panel};
constexpr Layout kQ6_K = {{{{32, 4}, {16, 4}, {16, 1}, {1, 2}}}};  // ql, qh, scales, d
constexpr Layout kIQ4_NL = kQ4_0;
constexpr Layout kIQ4_XS = {{{{1, 2}, {6, 1}, {32, 4}}},  // d, scales, qs
                            iq4_xs_scales_to_panel,
                            iq4_xs_scales_from_panel};
constexpr Layout kMXFP4 = {{{{1, 1}, {4, 4}}}};                // e, qs
constexpr Layout kNVFP4 = {{{{4, 1}, {8, 4}}}, nvfp4_scales};  // scales, qs
constexpr Layout kQ1_0 = {{{{1, 2}, {4, 4}}},                  // d, qs
                          bits_by_line<2, true, 4>,
                          bits_by_line<2, false, 4>};
constexpr Layout kQ2_0 = {{{{1, 2}, {4, 4}}}, q2_0_codes, q2_0_codes};
constexpr Layout kIQ1_S = kCodes2<IQ1_SBlock>;
constexpr Layout kTQ1_0 = kCodes2<TQ1_0Block>;
constexpr Layout kTQ2_0 = kCodes2<TQ2_0Block>;
constexpr Layout kIQ1_M = kCodes3<IQ1_MBlock>;
constexpr Layout kIQ2_XXS = kCodes3<IQ2_XXSBlock>;
constexpr Layout kIQ2_XS = kCodes3<IQ2_XSBlock>;
constexpr Layout kIQ2_S = kCodes3<IQ2_SBlock>;
constexpr Layout kIQ3_XXS = kCodes4<IQ3_XXSBlock>;
constexpr Layout kIQ3_S = kCodes4<IQ3_SBlock>;

constexpr const Layout* kLayouts[] = {
#define GM_FORMAT(Name, id, values, bytes, Act) &k##Name,
#include "formats/formats.def"
};

constexpr size_t kMaxBlockBytes = 256;

template <size_t kBytes>
void transpose_to(const uint8_t* const* rows, size_t units, uint8_t* out) noexcept {
  for (size_t u = 0; u < units; ++u)
    for (size_t r = 0; r < kPanelRows; ++r)
      std::memcpy(out + (u * kPanelRows + r) * kBytes, rows[r] + u * kBytes, kBytes);
}

template <size_t kBytes>
void transpose_from(const uint8_t* in, size_t units, uint8_t* const* rows) noexcept {
  for (size_t u = 0; u < units; ++u)
    for (size_t r = 0; r < kPanelRows; ++r)
      std::memcpy(rows[r] + u * kBytes, in + (u * kPanelRows + r) * kBytes, kBytes);
}

// Of a panel block.
constexpr size_t block_bytes_of(const Layout& layout) noexcept {
  size_t row = 0;
  for (const Field& field : layout.fields) row += size_t{field.units} * field.unit_bytes;
  return row * kPanelRows + (layout.recode != nullptr ? sizeof layout.tables : 0);
}

const Layout& layout_of(Format format) noexcept { return *kLayouts[static_cast<size_t>(format)]; }

// One value per block and nothing to rewrite: consecutive blocks transpose as one.
bool is_plain(const Layout& layout) noexcept {
  return layout.fields[1].unit_bytes == 0 && layout.to_panel == nullptr;
}

// One panel block out of 16 blocks, or of 16 runs of `count` blocks of a plain layout. rows[r] is
// advanced field by field.
void pack_block(const Layout& layout, size_t bytes, size_t count, const uint8_t* const* blocks,
                uint8_t* out) noexcept {
  uint8_t rewritten[kPanelRows][kMaxBlockBytes];
  const uint8_t* rows[kPanelRows];
  for (size_t r = 0; r < kPanelRows; ++r) {
    rows[r] = blocks[r];
    if (layout.recode != nullptr) {
      layout.recode(blocks[r], rewritten[r]);
    } else if (layout.to_panel != nullptr) {
      std::memcpy(rewritten[r], blocks[r], bytes);
      layout.to_panel(rewritten[r]);
    } else {
      continue;
    }
    rows[r] = rewritten[r];
  }
  bool tables = layout.recode != nullptr;
  for (const Field& field : layout.fields) {
    if (field.unit_bytes == 0) break;
    const size_t units = field.units * count;
    if (field.unit_bytes == 4) transpose_to<4>(rows, units, out);
    if (field.unit_bytes == 2) transpose_to<2>(rows, units, out);
    if (field.unit_bytes == 1) transpose_to<1>(rows, units, out);
    const size_t row_bytes = units * field.unit_bytes;
    for (const uint8_t*& row : rows) row += row_bytes;
    out += row_bytes * kPanelRows;
    if (!std::exchange(tables, false)) continue;
    std::memcpy(out, layout.tables.bytes, sizeof layout.tables);
    out += sizeof layout.tables;
  }
}

void unpack_block(const Layout& layout, const uint8_t* in,
                  uint8_t (*blocks)[kMaxBlockBytes]) noexcept {
  uint8_t* rows[kPanelRows];
  for (size_t r = 0; r < kPanelRows; ++r) rows[r] = blocks[r];
  for (const Field& field : layout.fields) {
    if (field.unit_bytes == 0) break;
    if (field.unit_bytes == 4) transpose_from<4>(in, field.units, rows);
    if (field.unit_bytes == 2) transpose_from<2>(in, field.units, rows);
    if (field.unit_bytes == 1) transpose_from<1>(in, field.units, rows);
    const size_t row_bytes = size_t{field.units} * field.unit_bytes;
    for (uint8_t*& row : rows) row += row_bytes;
    in += row_bytes * kPanelRows;
  }
  if (layout.from_panel != nullptr)
    for (size_t r = 0; r < kPanelRows; ++r) layout.from_panel(blocks[r]);
}

}  // namespace

size_t panel_bytes(Format format, size_t K) noexcept {
  return K / type_info(format).block_values * block_bytes_of(layout_of(format));
}

size_t packed_bytes(Format format, size_t rows, size_t K) noexcept {
  return (rows + kPanelRows - 1) / kPanelRows * panel_bytes(format, K);
}

bool is_permuted(Format format) noexcept {
  const Layout& layout = layout_of(format);
  return layout.recode == nullptr && (layout.to_panel == nullptr) == (layout.from_panel == nullptr);
}

void pack_panels(Format format, const uint8_t* rows_data, size_t rows, size_t K, uint8_t* out,
                 size_t p0, size_t p1) noexcept {
  static constexpr uint8_t kZeroBlock[kMaxBlockBytes] = {};
  const Layout& layout = layout_of(format);
  const TypeInfo info = type_info(format);
  const size_t blocks = K / info.block_values;
  const size_t row_bytes = blocks * info.block_bytes;
  const size_t block_bytes = block_bytes_of(layout);
  const size_t step = is_plain(layout) ? kMaxBlockBytes / info.block_bytes : 1;
  for (size_t p = p0; p < p1; ++p) {
    for (size_t b = 0; b < blocks; b += step) {
      const uint8_t* in[kPanelRows];
      for (size_t r = 0; r < kPanelRows; ++r) {
        const size_t row = p * kPanelRows + r;
        in[r] = row < rows ? rows_data + row * row_bytes + b * info.block_bytes : kZeroBlock;
      }
      pack_block(layout, info.block_bytes, std::min(step, blocks - b), in,
                 out + (p * blocks + b) * block_bytes);
    }
  }
}

void unpack_panels(Format format, const uint8_t* panels, size_t rows, size_t K, uint8_t* rows_data,
                   size_t p0, size_t p1) noexcept {
  const Layout& layout = layout_of(format);
  const TypeInfo info = type_info(format);
  const size_t blocks = K / info.block_values;
  const size_t row_bytes = blocks * info.block_bytes;
  const size_t block_bytes = block_bytes_of(layout);
  uint8_t unpacked[kPanelRows][kMaxBlockBytes];
  for (size_t p = p0; p < p1; ++p) {
    for (size_t b = 0; b < blocks; ++b) {
      unpack_block(layout, panels + (p * blocks + b) * block_bytes, unpacked);
      const size_t count = std::min(kPanelRows, rows - p * kPanelRows);
      for (size_t r = 0; r < count; ++r)
        std::memcpy(rows_data + (p * kPanelRows + r) * row_bytes + b * info.block_bytes,
                    unpacked[r], info.block_bytes);
    }
  }
}

uint64_t layout_fingerprint(Format format) {
  constexpr size_t kValues = 512;  // two of the largest blocks
  const TypeInfo info = type_info(format);
  std::vector<uint8_t> rows(kValues / info.block_values * info.block_bytes * kPanelRows);
  std::vector<uint8_t> panel(panel_bytes(format, kValues));
  uint64_t pattern = 1;
  for (uint8_t& byte : rows) {
    pattern = pattern * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(pattern >> 56);
  }
  pack_panels(format, rows.data(), kPanelRows, kValues, panel.data(), 0, 1);
  return hash64(panel);
}

}  // namespace gm
