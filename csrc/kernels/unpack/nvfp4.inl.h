// SPDX-License-Identifier: MIT
// NVFP4 panel block, 64 values: scales [4][16], 8 lines of nibbles, two for each 16 values: line
// c < 2 of these is in the low nibbles of line c, line c >= 2 in the high ones of line c - 2. Codes
// of kMxfp4Values. 16 values with a scale are half of a block of activations.
struct NVFP4Panel {
  static constexpr size_t kBlockBytes = kPanelRows * 36 / 2;  // of 32 values
  static constexpr size_t kParts = 2;
  static constexpr int kLargest = 28;
  static constexpr int kOffset = 16;
  const uint8_t* block;
  const uint8_t* lines;
  size_t part;  // of 32 values

  static NVFP4Panel at(const uint8_t* panel, size_t b, size_t part) {
    const uint8_t* block = panel + (b + part) / 4 * (2 * kBlockBytes);
    const size_t j = b % 4 + part;
    return {block + 16 * j, block + 64 + 128 * j, part};
  }
  // Exponent and mantissa in their places of an f32, whose bias differs by 119; below 8 they are a
  // denormal, 2^-10 times the mantissa, which the others are never less than.
  F32x16 d() const {
    const I32x16 scale = i_load_u8(block);
    const F32x16 number = f_from_i32(scale);
    const F32x16 normal = f_bits(i_add(i_shl<20>(scale), i_set1(119 << 23)));
    return f_max(f_zero_below(number, f_set1(8.0f), normal), f_mul(number, f_set1(0x1p-10f)));
  }
  Bytes64 line(int c) const { return line(c, static_cast<int>(part)); }
  Bytes64 line(int c, int half) const {
    if (c / 4 != half) return b_set1(kOffset);
    const Bytes64 packed = b_load(lines + c % 2 * 64);
    return kMxfp4Table.line(b_and(c % 4 < 2 ? packed : b_shr<4>(packed), b_set1(15)));
  }
  template <size_t half>
  struct Part;
};

// A half that the compiler knows.
template <size_t half>
struct NVFP4Panel::Part : NVFP4Panel {
  Bytes64 line(int c) const { return NVFP4Panel::line(c, half); }
};
