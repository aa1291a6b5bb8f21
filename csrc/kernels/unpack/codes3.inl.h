// SPDX-License-Identifier: MIT
// Panel block of 3-bit codes (panels/recode.h; IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S): d[16] f16, a table
// of values + 43 [16], 16 bytes of nothing, scales [8][16] (nibbles of sub-blocks i and i + 8,
// scale = 2 nibble + 1), 24 lines of codes: sub-block j (16 values, 4 lines) is part j % 2 of 32
// values k = j / 2; its line c is made of lines u, 8 + u and 16 + u, u = 4 (j % 2) + c, which hold
// 8 codes in 24 bits.
struct Codes3Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 108;
  static constexpr int kGroups = 16;
  static constexpr int kGroupLines = 4;
  static constexpr int kLargest = 2 * kCodes3Offset;
  static constexpr int kOffset = kCodes3Offset;
  static constexpr bool kHasMin = false;
  static constexpr int kCorrections = 8;

  const uint8_t* block;
  alignas(64) uint8_t scales[16][16];
  explicit Codes3Panel(const uint8_t* p) : block(p) {
    const Bytes64 even = b_set1(0x1e), one = b_set1(1);
    for (int i = 0; i < 2; ++i) {
      const Bytes64 both = b_load(p + 64 + 64 * i);
      b_store(scales[4 * i], b_xor(b_and(b_shl<1>(both), even), one));
      b_store(scales[8 + 4 * i], b_xor(b_and(b_shr<3>(both), even), one));
    }
  }

  F32x16 d() const {
    return f_mul(f_load_f16(reinterpret_cast<const uint16_t*>(block)), f_set1(kCodes3Unit));
  }
  F32x16 dmin() const { return f_zero(); }
  I32x16 scale(int j) const { return i_load_u8(scales[j]); }
  // int16 pairs (-43 scale 2 i, -43 scale 2 i + 1), to be multiplied with a pair of sums of 16.
  I32x16 correction(int i) const {
    const I32x16 offset = i_set1(-kOffset);
    return i_pair16(i_mul(scale(2 * i), offset), i_mul(scale(2 * i + 1), offset));
  }
  template <int j>
  Bytes64 line(int c) const {
    return b_lookup16(block + 32, code<j / 2>(block + 192 + (j % 2 * 4 + c) * 64));
  }

 private:
  template <int k>
  static Bytes64 code(const uint8_t* lines) {
    if constexpr (k < 6) {
      return b_and(b_shift_left<-3 * (k % 2)>(b_load(lines + k / 2 * 512)), b_set1(7));
    } else {
      const Bytes64 low = b_and(b_shr<6>(b_load(lines + (k - 6) * 512)), b_set1(3));
      return b_or_and(low, b_shr<k - 2>(b_load(lines + 1024)), b_set1(4));
    }
  }
};
using IQ1_MPanel = Codes3Panel;
using IQ2_XXSPanel = Codes3Panel;
using IQ2_XSPanel = Codes3Panel;
using IQ2_SPanel = Codes3Panel;
