// SPDX-License-Identifier: MIT
// Q6_K panel block: 32 lines ql, 16 lines qh, scales[16][16] int8, d[16] f16. Sub-block j (16
// values, 4 lines) is part j % 2 of group g = j / 2 % 4 of half n = j / 8; its line c is in
// ql line 16 n + 8 (g % 2) + 4 (j % 2) + c and qh line 8 n + 4 (j % 2) + c.
struct Q6_KPanel {
  static constexpr size_t kBlockBytes = kPanelRows * 210;
  static constexpr int kGroups = 16;
  static constexpr int kGroupLines = 4;
  static constexpr int kLargest = 63;
  static constexpr int kOffset = 32;
  static constexpr bool kHasMin = false;
  static constexpr int kCorrections = 8;

  const uint8_t* block;
  explicit Q6_KPanel(const uint8_t* p) : block(p) {}

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block + 3328)); }
  F32x16 dmin() const { return f_zero(); }
  I32x16 scale(int j) const { return i_load_s8(block + 3072 + j * 16); }
  // q is stored + 32: int16 pairs (-32 scale 2 i, -32 scale 2 i + 1) times a pair of sums of 16.
  I32x16 correction(int i) const {
    const I32x16 offset = i_set1(-32);
    return i_pair16(i_mul(scale(2 * i), offset), i_mul(scale(2 * i + 1), offset));
  }
  template <int j>
  Bytes64 line(int c) const {
    constexpr int n = j / 8, g = j / 2 % 4, part = j % 2;
    const Bytes64 packed = b_load(block + (16 * n + 8 * (g % 2) + 4 * part + c) * 64);
    const Bytes64 high = b_load(block + 2048 + (8 * n + 4 * part + c) * 64);
    const Bytes64 low = b_and(g < 2 ? packed : b_shr<4>(packed), b_set1(15));
    return b_or_and(low, b_bit_to_4(high, 2 * g), b_set1(48));
  }
};
