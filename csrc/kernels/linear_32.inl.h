// SPDX-License-Identifier: MIT
// 32-value blocks times a tile of activations; W, N, P as in linear_256.inl.h. A step is up to 8
// blocks, so that the float sums stay in registers for 256 values.
struct Expanded32 {
  alignas(64) uint8_t lines[8][kMaxPlanes][8][64];
  alignas(64) float d[8][16];
  alignas(64) float m[8][16];  // where the format has minima
};

// Formats with minima are those whose panel has them: x = d * q + m.
template <class Panel>
inline constexpr bool kHasMinima = requires(const Panel& panel) { panel.m(); };

// Block b of expanded panels.
struct Expanded32Block {
  static constexpr bool kDirect = false;
  const Expanded32* panels;
  size_t b;
  F32x16 d(int i) const { return f_load(panels[i].d[b]); }
  F32x16 m(int i) const { return f_load(panels[i].m[b]); }
  template <int kPlanes>
  Bytes64 line(int i, int plane, int c) const {
    return b_load(panels[i].lines[b][plane][c]);
  }
};

template <class Panel>
struct Direct32Block {
  static constexpr bool kDirect = true;
  Panel panel;
  F32x16 d(int) const { return panel.d(); }
  F32x16 m(int) const { return panel.m(); }
  template <int>
  Bytes64 line(int, int, int c) const {
    return dot_operand<Panel>(panel.line(c));
  }
  Planes planes(int c) const { return panel.planes(c); }
};

// line() is the weight + Panel::kOffset (0 or a power of two); the bias of the activations is -128
// times their sum.
template <class Panel>
inline I32x16 offset_sum(const uint32_t* bias) {
  if constexpr (Panel::kOffset == 0 || kSignedLines<Panel>)
    return i_zero();
  else
    return i_shr<__builtin_ctz(128 / Panel::kOffset)>(i_broadcast(bias));
}

// sums = the integer dot products of one block.
template <class Panel, int W, int N, int P, class Source>
inline void dot_block_32(const Source& source, const uint32_t* act, IntSums<P, N>& sums) {
  using Shape = DotShape<Panel::kLargest, 8>;
  const auto start = [&](int t) { return offset_sum<Panel>(act + 8 * W + t); };
  if constexpr (!Shape::kInt16Lanes) {
    GM_TILE(sums.v[i][t] = start(t));
    add_lines<8, W>([&](int i, int c) { return source.template line<1>(i, 0, c); }, act, sums);
    return;
  }
  if constexpr (Source::kDirect && Shape::kPlanes == 2) {
    GM_TILE(sums.v[i][t] = start(t));
    add_run_of_planes<Shape, W>([&](int c) { return source.planes(c); }, i_set1(1), act, sums);
    return;
  }
  GM_UNROLL(8)
  for (int run = 0; run < 8 / Shape::kRunLines * Shape::kPlanes; ++run) {
    const int plane = run % Shape::kPlanes, l = run / Shape::kPlanes * Shape::kRunLines;
    IntSums<P, N> dot;
    dot.clear();
    add_lines<Shape::kRunLines, W>(
        [&](int i, int c) { return source.template line<Shape::kPlanes>(i, plane, l + c); },
        act + l * W, dot);
    const I32x16 one = plane_scale<Shape>(i_set1(1), plane);
    GM_TILE(sums.v[i][t] = dot_s16(run == 0 ? start(t) : sums.v[i][t], dot.v[i][t], one));
    forget_loads(act);
  }
}

// acc += one block.
template <class Panel, int W, int N, int P, class Source>
inline void add_block_32(const Source& source, const uint32_t* act, RegisterSums<P, N>& acc) {
  IntSums<P, N> dot;
  dot_block_32<Panel, W>(source, act, dot);
  F32x16 d[P];
  GM_UNROLL(2)
  for (int i = 0; i < P; ++i) d[i] = source.d(i);
  GM_TILE(acc.v[i][t] = f_fma(f_mul(d[i], f_broadcast(act + 9 * W + t)), f_from_i32(dot.v[i][t]),
                              acc.v[i][t]));
  if constexpr (kHasMinima<Panel>) {
    GM_UNROLL(2)
    for (int i = 0; i < P; ++i) d[i] = source.m(i);
    GM_TILE(acc.v[i][t] = f_fma(d[i], f_broadcast(act + 10 * W + t), acc.v[i][t]));
  }
}

// A format with scales for fewer than 32 values has kParts blocks per block of activations, each of
// which is 0 outside of its part.
template <class Panel>
constexpr size_t parts_of() {
  if constexpr (requires { Panel::kParts; })
    return Panel::kParts;
  else
    return 1;
}

template <class PanelType>
struct Steps32 {
  using Panel = PanelType;
  using Expanded = Expanded32;
  static constexpr size_t kTile = kLineTile;
  static constexpr size_t kParts = parts_of<Panel>();
  static constexpr size_t kActDwords = 8 / kParts * kAct32Dwords;
  static constexpr size_t kStepBytes = 8 / kParts * Panel::kBlockBytes;
  static size_t count(size_t K) { return (K / 32 * kParts + 7) / 8; }
  static size_t panel_bytes(size_t K) { return K / 32 * Panel::kBlockBytes; }
  static size_t blocks(size_t K, size_t step) {
    const size_t left = K / 32 * kParts - step * 8;
    return left < 8 ? left : 8;
  }
  // Block b + part of a step, part < kParts. Panels with blocks of more than 32 values find theirs
  // by its number.
  static Panel block(const uint8_t* panel, size_t step, size_t b, size_t part = 0) {
    if constexpr (requires { Panel::at(panel, b, part); })
      return Panel::at(panel, step * 8 + b, part);
    else
      return Panel{panel + (step * 8 + b + part) * Panel::kBlockBytes};
  }
  static void fill(const uint8_t* panel, size_t K, size_t step, Expanded& out) {
    for (size_t b = 0; b < blocks(K, step); ++b) {
      const Panel source = block(panel, step, b / kParts * kParts, b % kParts);
      constexpr int kPlanes = DotShape<Panel::kLargest, 8>::kPlanes;
      for (int c = 0; c < 8; ++c)
        for (int plane = 0; plane < kPlanes; ++plane)
          b_store(out.lines[b][plane][c],
                  b_plane<kPlanes>(dot_operand<Panel>(source.line(c)), plane));
      f_store(out.d[b], source.d());
      if constexpr (kHasMinima<Panel>) f_store(out.m[b], source.m());
    }
  }
  template <int W>
  static void add_direct(const uint8_t* panel, size_t K, size_t step, const uint32_t* act,
                         RegisterSums<1, W>& acc) {
    for (size_t b = 0; b < blocks(K, step); b += kParts)
      add_parts<W>(panel, step, b, act + b / kParts * kAct32Dwords * W, acc);
  }
  template <int W, int N, int P>
  static void add_expanded(const Expanded* source, size_t K, size_t step, const uint32_t* act,
                           const uint32_t* ahead, ScratchSums sums) {
    RegisterSums<P, N> acc;
    acc.load(sums);
    for (size_t b = 0; b < blocks(K, step); ++b) {
      const uint32_t* next = ahead + b / kParts * kAct32Dwords * N;
      GM_UNROLL(8)
      for (size_t i = 0; i < kAct32Dwords * N; i += 16) __builtin_prefetch(next + i);
      add_block_32<Panel, W, N, P>(Expanded32Block{source, b}, act + b / kParts * kAct32Dwords * W,
                                   acc);
    }
    acc.store(sums);
  }

 private:
  template <int W, size_t part = 0>
  static void add_parts(const uint8_t* panel, size_t step, size_t b, const uint32_t* act,
                        RegisterSums<1, W>& acc) {
    const Panel source = block(panel, step, b, part);
    fetch_share(panel + (step * 8 + b + part + 8) * (kStepBytes / 8), kStepBytes / 8, 0, 1);
    if constexpr (kParts == 1) {
      add_block_32<Panel, W, W, 1>(Direct32Block<Panel>{source}, act, acc);
    } else {
      using Part = typename Panel::template Part<part>;
      add_block_32<Part, W, W, 1>(Direct32Block<Part>{{source}}, act, acc);
      if constexpr (part + 1 < kParts) add_parts<W, part + 1>(panel, step, b, act, acc);
    }
  }
};
