// SPDX-License-Identifier: MIT
// Q2_K panel block: scales[8][16][2] (scale in the low, min in the high nibble), 16 lines qs,
// d[16], dmin[16] f16. Sub-block j (16 values, 4 lines) is part j % 2 of quarter s = j / 2 % 4 of
// half n = j / 8: bits 2s and 2s + 1 of lines 8 n + 4 (j % 2) + c.
struct Q2_KPanel {
  static constexpr size_t kBlockBytes = kPanelRows * 84;
  static constexpr int kGroups = 16;
  static constexpr int kGroupLines = 4;
  static constexpr int kLargest = 3;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true;
  static constexpr int kCorrections = 8;

  struct Scaled;
  const uint8_t* block;
  alignas(64) uint8_t scales[8][32];  // [sub-block / 2][row][sub-block % 2]
  alignas(64) uint8_t mins[8][32];
  explicit Q2_KPanel(const uint8_t* p) : block(p) {
    for (int i = 0; i < 4; ++i) {
      const Bytes64 both = b_load(p + 64 * i);
      b_store(scales[2 * i], b_and(both, b_set1(15)));
      b_store(mins[2 * i], b_and(b_shr<4>(both), b_set1(15)));
    }
  }

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block + 1280)); }
  F32x16 dmin() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block + 1312)); }
  I32x16 scale(int j) const {
    const I32x16 pair = i_load_s8_pairs(scales[j / 2]);
    return j % 2 == 0 ? i_low16(pair) : i_high16(pair);
  }
  // int16 pairs (min 2 i, min 2 i + 1), to be multiplied with a pair of sums of 16.
  I32x16 correction(int i) const { return i_load_s8_pairs(mins[i]); }
  template <int j>
  Bytes64 line(int c) const {
    constexpr int n = j / 8, s = j / 2 % 4, part = j % 2;
    return b_and(b_shift_left<-2 * s>(b_load(block + 256 + (8 * n + 4 * part + c) * 64)),
                 b_set1(3));
  }
};

// Weights times scales: 3 * 15 = 45 at most.
struct Q2_KPanel::Scaled : Q2_KPanel {
  using LinesAreScaled = void;
  using Q2_KPanel::Q2_KPanel;
  template <int j>
  Bytes64 line(int c) const {
    return b_scale(Q2_KPanel::line<j>(c), scale(j), i_zero());
  }
};
