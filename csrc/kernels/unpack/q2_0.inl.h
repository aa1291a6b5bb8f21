// SPDX-License-Identifier: MIT
// Q2_0 panel block, 64 values: d[16] f16, 4 lines, two for each 32 values: pair s of the bits of
// byte 4 r + i of line p is value 16 p + 4 s + i of row r.
struct Q2_0Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 18 / 2;  // of 32 values
  static constexpr int kLargest = 3;
  static constexpr int kOffset = 1;
  const uint8_t* block;
  size_t part;

  static Q2_0Panel at(const uint8_t* panel, size_t b, size_t) {
    return {panel + b / 2 * (2 * kBlockBytes), b % 2};
  }
  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  Bytes64 line(int c) const {
    const uint8_t* lines = block + 32 + part * 128;
    return b_and(b_pair_to_0(b_load(lines + c / 4 * 64), c % 4), b_set1(3));
  }
};
