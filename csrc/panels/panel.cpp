// SPDX-License-Identifier: MIT
// A panel block is its 16 GGUF blocks with every field transposed: unit u of row r lands at
// 16 u + r. The field tables below are all there is to a layout. Two formats first rewrite a few
// bits of each block (a bijection) so that the kernels can expand them with shifts alone.
#include "panels/panel.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "formats/k_scales.h"

namespace gm {
namespace {

struct Field {
  uint8_t units;       // units per block
  uint8_t unit_bytes;  // 1, 2 or 4; 0 ends the table
};

// Q4_K, Q5_K scales: byte j < 8 = low nibbles of scale j and min j; byte 8 + i = the high 2 bits of
// scale i, min i, scale i + 4, min i + 4.
void k_scales_to_panel(uint8_t* block) noexcept {
  KScales in;
  std::memcpy(&in, block + 4, 12);
  uint8_t* out = block + 4;
  for (size_t j = 0; j < 8; ++j)
    out[j] = static_cast<uint8_t>((in.scale(j) & 15) | ((in.min(j) & 15) << 4));
  for (size_t i = 0; i < 4; ++i)
    out[8 + i] = static_cast<uint8_t>((in.scale(i) >> 4) | ((in.min(i) >> 4) << 2) |
                                      ((in.scale(i + 4) >> 4) << 4) | ((in.min(i + 4) >> 4) << 6));
}

void k_scales_from_panel(uint8_t* block) noexcept {
  uint8_t in[12];
  std::memcpy(in, block + 4, 12);
  int scales[8], mins[8];
  for (size_t j = 0; j < 8; ++j) {
    const int high = in[8 + j % 4] >> (j / 4 * 4);
    scales[j] = (in[j] & 15) | ((high & 3) << 4);
    mins[j] = (in[j] >> 4) | (((high >> 2) & 3) << 4);
  }
  KScales out;
  out.set(scales, mins);
  std::memcpy(block + 4, &out, 12);
}

// Q5_0: bit c of byte i is the fifth bit of value 4 c + i.
template <bool kToPanel>
void q5_0_high_bits(uint8_t* block) noexcept {
  uint8_t in[4], out[4] = {};
  std::memcpy(in, block + 2, 4);
  for (size_t k = 0; k < 32; ++k) {
    const size_t file_byte = k / 8, file_bit = k % 8, panel_byte = k % 4, panel_bit = k / 4;
    if (kToPanel)
      out[panel_byte] |= static_cast<uint8_t>(((in[file_byte] >> file_bit) & 1) << panel_bit);
    else
      out[file_byte] |= static_cast<uint8_t>(((in[panel_byte] >> panel_bit) & 1) << file_bit);
  }
  std::memcpy(block + 2, out, 4);
}

struct Layout {
  std::array<Field, 5> fields;
  void (*to_panel)(uint8_t*) noexcept = nullptr;
  void (*from_panel)(uint8_t*) noexcept = nullptr;
};

constexpr Layout kF32 = {{{{1, 4}}}};
constexpr Layout kF16 = {{{{1, 2}}}};
constexpr Layout kBF16 = kF16;
constexpr Layout kQ4_0 = {{{{1, 2}, {4, 4}}}};         // d, qs
constexpr Layout kQ5_0 = {{{{1, 2}, {1, 4}, {4, 4}}},  // d, qh, qs
                          q5_0_high_bits<true>,
                          q5_0_high_bits<false>};
constexpr Layout kQ8_0 = {{{{1, 2}, {8, 4}}}};           // d, q
constexpr Layout kQ4_K = {{{{2, 2}, {12, 1}, {32, 4}}},  // d dmin, scales, qs
                          k_scales_to_panel,
                          k_scales_from_panel};
constexpr Layout kQ5_K = {{{{2, 2}, {12, 1}, {8, 4}, {32, 4}}},  // ..., qh, qs
                          k_scales_to_panel,
                          k_scales_from_panel};
constexpr Layout kQ6_K = {{{{32, 4}, {16, 4}, {16, 1}, {1, 2}}}};  // ql, qh, scales, d

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

// One panel block out of 16 blocks. rows[r] is advanced field by field.
void pack_block(const Layout& layout, size_t bytes, const uint8_t* const* blocks,
                uint8_t* out) noexcept {
  uint8_t rewritten[kPanelRows][kMaxBlockBytes];
  const uint8_t* rows[kPanelRows];
  for (size_t r = 0; r < kPanelRows; ++r) {
    rows[r] = blocks[r];
    if (layout.to_panel == nullptr) continue;
    std::memcpy(rewritten[r], blocks[r], bytes);
    layout.to_panel(rewritten[r]);
    rows[r] = rewritten[r];
  }
  for (const Field& field : layout.fields) {
    if (field.unit_bytes == 0) break;
    if (field.unit_bytes == 4) transpose_to<4>(rows, field.units, out);
    if (field.unit_bytes == 2) transpose_to<2>(rows, field.units, out);
    if (field.unit_bytes == 1) transpose_to<1>(rows, field.units, out);
    const size_t row_bytes = size_t{field.units} * field.unit_bytes;
    for (const uint8_t*& row : rows) row += row_bytes;
    out += row_bytes * kPanelRows;
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
  const TypeInfo info = type_info(format);
  return K / info.block_values * info.block_bytes * kPanelRows;
}

size_t packed_bytes(Format format, size_t rows, size_t K) noexcept {
  return (rows + kPanelRows - 1) / kPanelRows * panel_bytes(format, K);
}

void pack_panels(Format format, const uint8_t* rows_data, size_t rows, size_t K, uint8_t* out,
                 size_t p0, size_t p1) noexcept {
  static constexpr uint8_t kZeroBlock[kMaxBlockBytes] = {};
  const Layout& layout = *kLayouts[static_cast<size_t>(format)];
  const TypeInfo info = type_info(format);
  const size_t blocks = K / info.block_values;
  const size_t row_bytes = blocks * info.block_bytes;
  const size_t block_bytes = size_t{info.block_bytes} * kPanelRows;
  for (size_t p = p0; p < p1; ++p) {
    for (size_t b = 0; b < blocks; ++b) {
      const uint8_t* in[kPanelRows];
      for (size_t r = 0; r < kPanelRows; ++r) {
        const size_t row = p * kPanelRows + r;
        in[r] = row < rows ? rows_data + row * row_bytes + b * info.block_bytes : kZeroBlock;
      }
      pack_block(layout, info.block_bytes, in, out + (p * blocks + b) * block_bytes);
    }
  }
}

void unpack_panels(Format format, const uint8_t* panels, size_t rows, size_t K, uint8_t* rows_data,
                   size_t p0, size_t p1) noexcept {
  const Layout& layout = *kLayouts[static_cast<size_t>(format)];
  const TypeInfo info = type_info(format);
  const size_t blocks = K / info.block_values;
  const size_t row_bytes = blocks * info.block_bytes;
  const size_t block_bytes = size_t{info.block_bytes} * kPanelRows;
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

}  // namespace gm
