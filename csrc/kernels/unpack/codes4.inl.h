// SPDX-License-Identifier: MIT
// Panel block of 4-bit codes (panels/recode.h; IQ3_XXS, IQ3_S): d[16] f16, a table of values + 31
// [16], 16 bytes of nothing, scales [4][16] (nibbles of sub-blocks i and i + 4, scale = 2 nibble +
// 1), 32 lines of nibbles: line c of sub-block j (32 values, 8 lines) is in line 4 j + c % 4, low
// nibbles for c < 4, high nibbles otherwise.
struct Codes4Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 136;
  static constexpr int kGroups = 8;
  static constexpr int kGroupLines = 8;
  static constexpr int kLargest = 2 * kCodes4Offset;
  static constexpr int kOffset = kCodes4Offset;
  static constexpr bool kHasMin = false;
  static constexpr int kCorrections = 4;

  const uint8_t* block;
  alignas(64) uint8_t scales[8][16];
  explicit Codes4Panel(const uint8_t* p) : block(p) {
    const Bytes64 both = b_load(p + 64), even = b_set1(0x1e), one = b_set1(1);
    b_store(scales[0], b_xor(b_and(b_shl<1>(both), even), one));
    b_store(scales[4], b_xor(b_and(b_shr<3>(both), even), one));
  }

  F32x16 d() const {
    return f_mul(f_load_f16(reinterpret_cast<const uint16_t*>(block)), f_set1(kCodes4Unit));
  }
  F32x16 dmin() const { return f_zero(); }
  I32x16 scale(int j) const { return i_load_u8(scales[j]); }
  // int16 pairs (-31 scale 2 i, -31 scale 2 i + 1), to be multiplied with a pair of sums of 32.
  I32x16 correction(int i) const {
    const I32x16 offset = i_set1(-kOffset);
    return i_pair16(i_mul(scale(2 * i), offset), i_mul(scale(2 * i + 1), offset));
  }
  template <int j>
  Bytes64 line(int c) const {
    const Bytes64 packed = b_load(block + 128 + (4 * j + c % 4) * 64);
    return b_lookup16(block + 32, b_and(c < 4 ? packed : b_shr<4>(packed), b_set1(15)));
  }
};
using IQ3_XXSPanel = Codes4Panel;
using IQ3_SPanel = Codes4Panel;
