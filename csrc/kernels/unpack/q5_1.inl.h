// SPDX-License-Identifier: MIT
// Q5_1 panel block: d[16], m[16] f16, one line of fifth bits as in Q5_0, 4 lines of nibbles.
struct Q5_1Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 24;
  static constexpr int kLargest = 31;
  static constexpr int kOffset = 0;
  const uint8_t* block;

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  F32x16 m() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block + 32)); }
  Bytes64 line(int c) const {
    const Bytes64 packed = b_load(block + 128 + (c % 4) * 64);
    const Bytes64 low = b_and(c < 4 ? packed : b_shr<4>(packed), b_set1(15));
    return b_or_and(low, b_bit_to_4(b_load(block + 64), c), b_set1(16));
  }
};
