// SPDX-License-Identifier: MIT
// A table of 16 signed values as unsigned operands: value + kOffset, looked up instead of computed,
// whole or as planes.
template <int kOffset>
struct CodeTable {
  alignas(16) uint8_t plus[16], low[16], high[16];
  constexpr explicit CodeTable(const int8_t (&values)[16]) : plus{}, low{}, high{} {
    for (int i = 0; i < 16; ++i) {
      plus[i] = static_cast<uint8_t>(values[i] + kOffset);
      low[i] = plus[i] & 15;
      high[i] = plus[i] >> 4;
    }
  }
  Bytes64 line(Bytes64 codes) const { return b_lookup16(plus, codes); }
  Planes planes(Bytes64 codes) const { return {b_lookup16(low, codes), b_lookup16(high, codes)}; }
};
constexpr CodeTable<128> kIq4Table(kIq4Values);
constexpr CodeTable<16> kMxfp4Table(kMxfp4Values);
