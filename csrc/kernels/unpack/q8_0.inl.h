// SPDX-License-Identifier: MIT
// Q8_0 panel block: d[16] f16, 8 lines of int8.
struct Q8_0Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 34;
  const uint8_t* block;

  F32x16 d() const { return f_load_f16(reinterpret_cast<const uint16_t*>(block)); }
  Bytes64 line(int c) const { return s8_operand(b_load(block + 32 + c * 64)); }
};
