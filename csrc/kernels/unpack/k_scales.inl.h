// SPDX-License-Identifier: MIT
// The scales of a Q4_K or Q5_K panel block: low nibbles [8][16], then high bits [4][16] (see
// panels/panel.cpp), expanded to bytes: 8 scales and 8 minima of 16 rows each.
struct KScalesPanel {
  alignas(64) uint8_t scales[8][16];
  alignas(64) uint8_t mins[8][16];

  explicit KScalesPanel(const uint8_t* p) {
    const Bytes64 low0 = b_load(p), low1 = b_load(p + 64), high = b_load(p + 128);
    const Bytes64 nibble = b_set1(0x0f), top = b_set1(0x30);
    b_store(scales[0], b_or_and(b_and(low0, nibble), b_shl<4>(high), top));
    b_store(scales[4], b_or_and(b_and(low1, nibble), high, top));
    b_store(mins[0], b_or_and(b_and(b_shr<4>(low0), nibble), b_shl<2>(high), top));
    b_store(mins[4], b_or_and(b_and(b_shr<4>(low1), nibble), b_shr<2>(high), top));
  }
  I32x16 scale(int j) const { return i_load_u8(scales[j]); }
  // int16 pairs (min 2 i, min 2 i + 1), to be multiplied with a pair of sums of 32.
  I32x16 min_pair(int i) const {
    return i_pair16(i_load_u8(mins[2 * i]), i_load_u8(mins[2 * i + 1]));
  }
};
