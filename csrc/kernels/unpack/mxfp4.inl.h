// SPDX-License-Identifier: MIT
// MXFP4 panel block: e[16], 4 lines of nibbles as in Q4_0, codes of kMxfp4Values.
struct MXFP4Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 17;
  static constexpr int kLargest = 28;
  static constexpr int kOffset = 16;
  const uint8_t* block;

  // 2^(e - 128): the exponent bits are e - 1, but for the denormals 2^-128 << e of e < 2, where
  // those bits would give -inf or 0.
  F32x16 d() const {
    const I32x16 e = i_load_u8(block);
    const I32x16 normal = i_add(i_shl<23>(e), i_set1(-0x00800000));
    const I32x16 denormal = i_add(i_shl<21>(e), i_set1(0x00200000));
    return f_max(f_bits(normal), f_bits(denormal));
  }
  Bytes64 line(int c) const {
    const Bytes64 packed = b_load(block + 16 + (c % 4) * 64);
    const Bytes64 code = b_and(c < 4 ? packed : b_shr<4>(packed), b_set1(15));
    return kMxfp4Table.line(code);
  }
};
