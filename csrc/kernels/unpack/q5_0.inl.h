// SPDX-License-Identifier: MIT
// Q5_0 panel block: d[16] f16, one line of fifth bits (bit c of byte 4 r + i: value 4 c + i of row
// r), 4 lines of nibbles as in Q4_0.
struct Q5_0Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 22;
  static constexpr int kLargest = 31;
  static constexpr int kOffset = 16;
  const uint8_t* block;

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  Bytes64 line(int c) const {
    const Bytes64 packed = b_load(block + 96 + (c % 4) * 64);
    const Bytes64 q = b_and(c < 4 ? packed : b_shr<4>(packed), b_set1(15));
    return b_or_and(q, b_bit_to_4(b_load(block + 32), c), b_set1(16));
  }
};
