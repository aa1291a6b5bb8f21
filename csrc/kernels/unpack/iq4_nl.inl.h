// SPDX-License-Identifier: MIT
// IQ4_NL panel block: as Q4_0, the nibbles are codes of kIq4Values.
struct IQ4_NLPanel {
  static constexpr size_t kBlockBytes = kPanelRows * 18;
  static constexpr int kLargest = 241;
  static constexpr int kOffset = 128;
  const uint8_t* block;

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  Bytes64 code(int c) const {
    const Bytes64 packed = b_load(block + 32 + (c % 4) * 64);
    return b_and(c < 4 ? packed : b_shr<4>(packed), b_set1(15));
  }
  Bytes64 line(int c) const { return kIq4Table.line(code(c)); }
  Planes planes(int c) const { return kIq4Table.planes(code(c)); }
};
