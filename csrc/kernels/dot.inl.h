// SPDX-License-Identifier: MIT
// Dot products of lines (4 values x 16 rows) and activations, and how many of them may be added up
// before they must become int32: every sum is exact at every level.
//
// A level with a dot product instruction adds 4 products to int32 lanes; the others add 2 products
// to int16 lanes (kStepProducts), so that the largest weight of a format bounds how many lines fit.
// |activation| <= 127, so n lines of weights <= w reach n * kStepProducts * w * 127:
//   w    4 products                   2 products
//   15   4 lines: 30,480              8 lines: 30,480
//   31   2 lines: 31,496              4 lines: 31,496
//   63   1 line:  32,004              2 lines: 32,004
//   255  -                            - : two planes of nibbles, 8 lines: 30,480
// 0: not even one line fits.
constexpr int lines_in_int16(int largest) {
  int lines = 8;
  while (lines > 0 && lines * kStepProducts * largest * 127 > 32767) lines /= 2;
  return lines;
}

// How the lines of a group, which share a scale, are added up. Largest: of the unsigned weights.
template <int kLargest, int kGroupLines>
struct DotShape {
  static constexpr bool kInt16Lanes = kStepProducts == 2;
  // Weights of 8 bits do not fit the products of int16 lanes: low and high nibbles, one by one.
  static constexpr int kPlanes = kInt16Lanes && lines_in_int16(kLargest) == 0 ? 2 : 1;
  static constexpr int kFit = lines_in_int16(kPlanes == 2 ? 15 : kLargest);
  static constexpr int kFitGroup = kFit < kGroupLines ? kFit : kGroupLines;
  // dot_s16 multiplies a sum of int16 size by the scale and adds it: one instruction (or two) for
  // every kFit lines. The other way is one multiplication and one addition of int32 for the group,
  // three instructions.
  static constexpr bool kFold =
      kInt16Lanes || (kFoldScales && kFit != 0 && kGroupLines / kFitGroup <= 2);
  static constexpr int kRunLines = kFold ? kFitGroup : kGroupLines;
};
// The planes that an expanded block has room for.
inline constexpr int kMaxPlanes = DotShape<255, 8>::kPlanes;

// Weights of 8 bits where dot_step multiplies signed bytes: it gets them less 128, which is their
// offset, so that the sums need no correction.
template <class Panel>
inline constexpr bool kSignedLines = kSignedDots && Panel::kLargest > 127;
template <class Panel>
inline Bytes64 dot_operand(Bytes64 line) {
  static_assert(!kSignedLines<Panel> || Panel::kOffset == 128);
  if constexpr (kSignedLines<Panel>)
    return b_xor(line, b_set1(128));
  else
    return line;
}

template <int kPlanes>
inline Bytes64 b_plane(Bytes64 w, int plane) {
  if constexpr (kPlanes == 1) return w;
  return b_and(plane == 0 ? w : b_shr<4>(w), b_set1(15));
}

// The scale of a plane, as the operand of the fold.
template <class Shape>
inline I32x16 plane_scale(I32x16 scale, int plane) {
  if constexpr (!Shape::kFold) return scale;
  return fold_scale(plane == 0 ? scale : i_shl<4>(scale));
}

template <int P, int N>
struct IntSums {
  I32x16 v[P][N];
  void clear() { GM_TILE(v[i][t] = i_zero()); }
};

// dot += the lines of a run; line(i, c) gives line c of the run of panel i.
template <int kLines, int W, int N, int P, class Line>
inline void add_lines(const Line& line, const uint32_t* q, IntSums<P, N>& dot) {
  GM_UNROLL(8)
  for (int c = 0; c < kLines; ++c) {
    Bytes64 w[P];
    GM_UNROLL(2)
    for (int i = 0; i < P; ++i) w[i] = line(i, c);
    GM_UNROLL(12)
    for (int t = 0; t < N; ++t) {
      const I32x16 a = i_broadcast(q + c * W + t);
      GM_UNROLL(2)
      for (int i = 0; i < P; ++i) dot.v[i][t] = dot_step(dot.v[i][t], w[i], a);
    }
  }
}

// sums += scale(i) * dot of one run of lines; scale(i) is the plane_scale of panel i.
template <class Shape, int W, int N, int P, class Line, class Scale>
inline void add_run(const Line& line, const Scale& scale, const uint32_t* q, IntSums<P, N>& sums) {
  IntSums<P, N> dot;
  dot.clear();
  add_lines<Shape::kRunLines, W>(line, q, dot);
  GM_UNROLL(2)
  for (int i = 0; i < P; ++i) {
    const I32x16 s = scale(i);
    GM_UNROLL(12)
    for (int t = 0; t < N; ++t)
      sums.v[i][t] = Shape::kFold ? dot_s16(sums.v[i][t], dot.v[i][t], s)
                                  : i_add(sums.v[i][t], i_mul(dot.v[i][t], s));
  }
}

// The lines of a whole group straight from a panel, run by run: the scale is taken apart only once.
template <class Shape, int kGroupLines, int W, class Line>
inline void add_group(const Line& line, I32x16 scale, const uint32_t* q, IntSums<1, W>& sums) {
  const I32x16 s = plane_scale<Shape>(scale, 0);
  GM_UNROLL(8)
  for (int l = 0; l < kGroupLines; l += Shape::kRunLines)
    add_run<Shape, W>([&](int, int c) { return line(l + c); }, [&](int) { return s; }, q + l * W,
                      sums);
}

// Both planes of the lines of a run straight from a panel, whose codes are taken apart only once:
// lines(c) gives the Planes of line c, scale is not yet a plane_scale.
struct Planes {
  Bytes64 low, high;
};
inline Planes b_planes(Bytes64 w) { return {b_plane<2>(w, 0), b_plane<2>(w, 1)}; }

template <class Shape, int W, class Lines>
inline void add_run_of_planes(const Lines& lines, I32x16 scale, const uint32_t* q,
                              IntSums<1, W>& sums) {
  IntSums<1, W> low, high;
  low.clear();
  high.clear();
  GM_UNROLL(8)
  for (int c = 0; c < Shape::kRunLines; ++c) {
    const Planes w = lines(c);
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t) {
      const I32x16 a = i_broadcast(q + c * W + t);
      low.v[0][t] = dot_step(low.v[0][t], w.low, a);
      high.v[0][t] = dot_step(high.v[0][t], w.high, a);
    }
  }
  const I32x16 s0 = plane_scale<Shape>(scale, 0), s1 = plane_scale<Shape>(scale, 1);
  GM_UNROLL(12)
  for (int t = 0; t < W; ++t) {
    sums.v[0][t] = dot_s16(sums.v[0][t], low.v[0][t], s0);
    sums.v[0][t] = dot_s16(sums.v[0][t], high.v[0][t], s1);
  }
}

// w * factor + offset for the 4 bytes of each lane. Exact where the results are bytes: whatever a
// byte of the product borrows or carries cancels in the sum.
inline Bytes64 b_scale(Bytes64 w, I32x16 factor, I32x16 offset) {
  const I32x16 product = i_mul(__builtin_bit_cast(I32x16, w), factor);
  return __builtin_bit_cast(Bytes64, i_add(product, i_mul(offset, i_set1(0x01010101))));
}

// sums[i] = the sum of 4 signed bytes.
inline I32x16 quad_sums(I32x16 q) {
  const I32x16 sums = dot_step(i_zero(), b_set1(1), q);
  return kStepProducts == 4 ? sums : dot_s16(i_zero(), sums, i_set1(0x00010001));
}
