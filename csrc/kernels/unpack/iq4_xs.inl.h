// SPDX-License-Identifier: MIT
// IQ4_XS panel block: d[16] f16, scales (panels/panel.cpp: low nibbles [4][16], then high bits
// [2][16]), 32 lines of nibbles, codes of kIq4Values: line c of sub-block j is in line
// 4 j + c % 4, low nibbles for c < 4, high nibbles otherwise.
struct IQ4_XSPanel {
  static constexpr size_t kBlockBytes = kPanelRows * 136;
  static constexpr int kGroups = 8;
  static constexpr int kGroupLines = 8;
  static constexpr int kLargest = 241;
  static constexpr int kOffset = 128;
  static constexpr bool kHasMin = false;
  static constexpr int kCorrections = 4;

  const uint8_t* block;
  alignas(64) uint8_t scales[10][16];  // int8; 2 rows of room for the last store
  explicit IQ4_XSPanel(const uint8_t* p) : block(p) {
    // Half a line holds the 2 high bits of 2 scales, so each store has 32 valid bytes and the next
    // one overwrites the others.
    const Bytes64 low0 = b_load(p + 32), low1 = b_load(p + 64), high = b_load(p + 96);
    const Bytes64 nibble = b_set1(15), top = b_set1(0x30), offset = b_set1(32);
    const auto put = [&](int j, Bytes64 low, Bytes64 bits) {
      b_store(scales[j], b_sub(b_or_and(b_and(low, nibble), bits, top), offset));
    };
    put(0, low0, b_shl<4>(high));
    put(2, low1, b_shl<2>(high));
    put(4, b_shr<4>(low0), high);
    put(6, b_shr<4>(low1), b_shr<2>(high));
  }

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  F32x16 dmin() const { return f_zero(); }
  I32x16 scale(int j) const { return i_load_s8(scales[j]); }
  // line() is the value + 128: int16 pairs (-128 scale 2 i, -128 scale 2 i + 1) times a pair of
  // sums of 32.
  I32x16 correction(int i) const {
    const I32x16 offset = i_set1(-128);
    return i_pair16(i_mul(scale(2 * i), offset), i_mul(scale(2 * i + 1), offset));
  }
  template <int j>
  Bytes64 code(int c) const {
    const Bytes64 packed = b_load(block + 128 + (4 * j + c % 4) * 64);
    return b_and(c < 4 ? packed : b_shr<4>(packed), b_set1(15));
  }
  template <int j>
  Bytes64 line(int c) const {
    return kIq4Table.line(code<j>(c));
  }
  template <int j>
  Planes planes(int c) const {
    return kIq4Table.planes(code<j>(c));
  }
};
