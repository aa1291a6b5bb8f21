// SPDX-License-Identifier: MIT
// Q1_0 panel block, 128 values: d[16] f16, 4 lines, one for each 32 values: bit c of byte 4 r + i
// is value 4 c + i of row r. The weights of line() are eight times the signs.
struct Q1_0Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 18 / 4;  // of 32 values
  static constexpr int kLargest = 16;
  static constexpr int kOffset = 8;
  const uint8_t* block;
  size_t part;

  static Q1_0Panel at(const uint8_t* panel, size_t b, size_t) {
    return {panel + b / 4 * (4 * kBlockBytes), b % 4};
  }
  F32x16 d() const {
    return f_mul(f_load_f16(reinterpret_cast<const uint16_t*>(block)), f_set1(0.125f));
  }
  Bytes64 line(int c) const {
    return b_and(b_bit_to_4(b_load(block + 32 + part * 64), c), b_set1(16));
  }
};
