// SPDX-License-Identifier: MIT
// Q4_K panel block: d[16], dmin[16] f16, scales (k_scales.inl.h), 32 lines of nibbles: line c of
// sub-block j is in line 8 (j / 2) + c, low nibbles for even j, high nibbles for odd j.
struct Q4_KPanel {
  static constexpr size_t kBlockBytes = kPanelRows * 144;
  static constexpr int kGroups = 8;      // scales per row
  static constexpr int kGroupLines = 8;  // lines (of 4 values) per scale
  static constexpr int kLargest = 15;    // of line(): see dot.inl.h for what it bounds
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true;
  static constexpr int kCorrections = 4;

  const uint8_t* block;
  KScalesPanel k;
  explicit Q4_KPanel(const uint8_t* p) : block(p), k(p + 64) {}

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  F32x16 dmin() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block + 32)); }
  I32x16 scale(int j) const { return k.scale(j); }
  I32x16 correction(int i) const { return k.min_pair(i); }
  template <int j>
  Bytes64 line(int c) const {
    const Bytes64 packed = b_load(block + 256 + (j / 2 * 8 + c) * 64);
    return b_and(j % 2 == 0 ? packed : b_shr<4>(packed), b_set1(15));
  }
};
