// SPDX-License-Identifier: MIT
// Q3_K panel block: 24 lines of codes, scales[6][16][2] (as in the file, low nibbles and high
// bits), d[16] f16. Sub-block j (16 values, 4 lines) is part j % 2 of 32 values k = j / 2; its line
// c is made of lines u, 8 + u and 16 + u, u = 4 (j % 2) + c, which hold 8 codes in 24 bits,
// inverted (see panels/panel.cpp): weight q - 4 = 3 - code, so the scales are negated and the rest
// is a correction.
struct Q3_KPanel {
  static constexpr size_t kBlockBytes = kPanelRows * 110;
  static constexpr int kGroups = 16;
  static constexpr int kGroupLines = 4;
  static constexpr int kLargest = 7;
  static constexpr int kOffset = 3;
  static constexpr bool kHasMin = false;
  static constexpr int kCorrections = 8;

  struct Scaled;
  const uint8_t* block;
  alignas(64) uint8_t negated[8][32];  // -scale, int8: [sub-block / 2][row][sub-block % 2]
  alignas(64) uint8_t tripled[8][32];  // 3 scale
  explicit Q3_KPanel(const uint8_t* p) : block(p) {
    const Bytes64 low0 = b_load(p + 1536), low1 = b_load(p + 1600), high = b_load(p + 1664);
    const Bytes64 nibble = b_set1(15), top = b_set1(0x30), offset = b_set1(32);
    const auto put = [&](int i, Bytes64 low, Bytes64 bits) {
      const Bytes64 stored = b_or_and(b_and(low, nibble), bits, top);  // scale + 32
      const Bytes64 minus = b_sub(offset, stored);
      b_store(negated[i], minus);
      b_store(tripled[i], b_sub(b_sub(b_sub(stored, offset), minus), minus));
    };
    put(0, low0, b_shl<4>(high));
    put(2, low1, b_shl<2>(high));
    put(4, b_shr<4>(low0), high);
    put(6, b_shr<4>(low1), b_shr<2>(high));
  }

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block + 1728)); }
  F32x16 dmin() const { return f_zero(); }
  // Folded, the upper half of the lane is 0, not the sign: there the dot product has its own sign.
  I32x16 scale(int j) const {
    const I32x16 pair = i_load_s8_pairs(negated[j / 2]);
    if constexpr (kFoldScales)
      return j % 2 == 0 ? i_low16(pair) : i_high16(pair);
    else
      return i_shr<16>(j % 2 == 0 ? i_shl<16>(pair) : pair);
  }
  I32x16 correction(int i) const { return i_load_s8_pairs(tripled[i]); }
  template <int j>
  Bytes64 line(int c) const {
    constexpr int k = j / 2;
    const uint8_t* lines = block + (j % 2 * 4 + c) * 64;
    if constexpr (k < 6) {
      return b_and(b_shift_left<-3 * (k % 2)>(b_load(lines + k / 2 * 512)), b_set1(7));
    } else {
      const Bytes64 low = b_and(b_shr<6>(b_load(lines + (k - 6) * 512)), b_set1(3));
      return b_or_and(low, b_shr<k - 2>(b_load(lines + 1024)), b_set1(4));
    }
  }
};

// Weights times scales + 124: from -4 * 31 + 124 = 0 to -4 * -32 + 124 = 252.
struct Q3_KPanel::Scaled : Q3_KPanel {
  using LinesAreScaled = void;
  static constexpr int kCorrections = 4;
  using Q3_KPanel::Q3_KPanel;
  I32x16 correction(int) const { return i_pair16(i_set1(-124), i_set1(-124)); }
  template <int j>
  Bytes64 line(int c) const {  // (3 - code) * scale + 124
    return b_scale(Q3_KPanel::line<j>(c), half<j>(negated[j / 2]),
                   i_add(half<j>(tripled[j / 2]), i_set1(124)));
  }

 private:
  template <int j>
  static I32x16 half(const uint8_t* pairs) {
    const I32x16 pair = i_load_s8_pairs(pairs);
    return i_shr<16>(j % 2 == 0 ? i_shl<16>(pair) : pair);
  }
};
