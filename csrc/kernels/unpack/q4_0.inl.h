// SPDX-License-Identifier: MIT
// Q4_0 panel block: d[16] f16, 4 lines of nibbles. Line c < 4 is in the low nibbles of line c,
// line c >= 4 in the high nibbles of line c - 4.
struct Q4_0Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 18;
  static constexpr int kLargest = 15;
  static constexpr int kOffset = 8;  // line() is the weight + kOffset
  const uint8_t* block;

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  Bytes64 line(int c) const {
    const Bytes64 packed = b_load(block + 32 + (c % 4) * 64);
    return b_and(c < 4 ? packed : b_shr<4>(packed), b_set1(15));
  }
};
