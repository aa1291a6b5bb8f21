// SPDX-License-Identifier: MIT
// Q5_K panel block: d[16], dmin[16] f16, scales (k_scales.inl.h), 8 lines of fifth bits (bit j of
// line c belongs to sub-block j), 32 lines of nibbles as in Q4_K.
struct Q5_KPanel {
  static constexpr size_t kBlockBytes = kPanelRows * 176;
  static constexpr int kGroups = 8;
  static constexpr int kGroupLines = 8;
  static constexpr int kLargest = 31;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true;
  static constexpr int kCorrections = 4;

  const uint8_t* block;
  KScalesPanel k;
  explicit Q5_KPanel(const uint8_t* p) : block(p), k(p + 64) {}

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  F32x16 dmin() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block + 32)); }
  I32x16 scale(int j) const { return k.scale(j); }
  I32x16 correction(int i) const { return k.min_pair(i); }
  template <int j>
  Bytes64 line(int c) const {
    const Bytes64 packed = b_load(block + 768 + (j / 2 * 8 + c) * 64);
    const Bytes64 low = b_and(j % 2 == 0 ? packed : b_shr<4>(packed), b_set1(15));
    return b_or_and(low, b_bit_to_4(b_load(block + 256 + c * 64), j), b_set1(16));
  }
};
