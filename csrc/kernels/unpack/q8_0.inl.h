// SPDX-License-Identifier: MIT
// Q8_0 panel block: d[16] f16, 8 lines of int8.
struct Q8_0Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 34;
  static constexpr int kLargest = 255;
  static constexpr int kOffset = 128;
  const uint8_t* block;

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  Planes planes(int c) const { return b_planes(line(c)); }
  Bytes64 line(int c) const { return b_xor(b_load(block + 32 + c * 64), b_set1(128)); }
};
