// SPDX-License-Identifier: MIT
// Q4_1 panel block: d[16], m[16] f16, 4 lines of nibbles as in Q4_0.
struct Q4_1Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 20;
  static constexpr int kLargest = 15;
  static constexpr int kOffset = 0;
  const uint8_t* block;

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  F32x16 m() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block + 32)); }
  Bytes64 line(int c) const {
    const Bytes64 packed = b_load(block + 64 + (c % 4) * 64);
    return b_and(c < 4 ? packed : b_shr<4>(packed), b_set1(15));
  }
};
