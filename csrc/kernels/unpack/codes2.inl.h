// SPDX-License-Identifier: MIT
// Panel block of 2-bit codes (panels/recode.h; IQ1_S, TQ1_0, TQ2_0): d[16] f16, tables of scales
// and minima [2][16], codes of scales [4][16] (sub-blocks i and i + 4), 16 lines of codes: line c
// of sub-block j (32 values, 8 lines) is pair j / 2 of the bits of line 8 (j % 2) + c.
struct Codes2Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 72;
  static constexpr int kGroups = 8;
  static constexpr int kGroupLines = 8;
  static constexpr int kLargest = 3;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true;
  static constexpr int kCorrections = 4;

  const uint8_t* block;
  alignas(64) uint8_t scales[8][16];
  alignas(64) uint8_t mins[8][16];
  explicit Codes2Panel(const uint8_t* p) : block(p) {
    const Bytes64 both = b_load(p + 64), nibble = b_set1(15);
    const Bytes64 low = b_and(both, nibble), high = b_and(b_shr<4>(both), nibble);
    b_store(scales[0], b_lookup16(p + 32, low));
    b_store(scales[4], b_lookup16(p + 32, high));
    b_store(mins[0], b_lookup16(p + 48, low));
    b_store(mins[4], b_lookup16(p + 48, high));
  }

  F32x16 d() const {
    return f_mul(f_load_f16(reinterpret_cast<const uint16_t*>(block)), f_set1(kCodes2Unit));
  }
  F32x16 dmin() const { return d(); }
  I32x16 scale(int j) const { return i_load_u8(scales[j]); }
  // int16 pairs (min 2 i, min 2 i + 1), to be multiplied with a pair of sums of 32.
  I32x16 correction(int i) const {
    return i_pair16(i_load_u8(mins[2 * i]), i_load_u8(mins[2 * i + 1]));
  }
  template <int j>
  Bytes64 line(int c) const {
    return b_and(b_shift_left<-(j / 2 * 2)>(b_load(block + 128 + (8 * (j % 2) + c) * 64)),
                 b_set1(3));
  }
};
using IQ1_SPanel = Codes2Panel;
using TQ1_0Panel = Codes2Panel;
using TQ2_0Panel = Codes2Panel;
