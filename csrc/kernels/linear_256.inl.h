// SPDX-License-Identifier: MIT
// 256-value blocks times a tile of activations: exact int32 sums, then one FMA per block (and one
// for the minima). W is the width of the tile, N the tokens of this pass (N = W, or half a tile
// when P = 2 panels share each broadcast activation), Source a Panel or its expansion in the
// scratch.

// A panel block of a 256-value format, expanded.
struct Expanded256 {
  alignas(64) uint8_t lines[kMaxPlanes][64][64];
  alignas(64) int32_t scales[kMaxPlanes][16][16];
  alignas(64) int32_t corrections[8][16];
  alignas(64) float d_[16];
  alignas(64) float dmin_[16];

  F32x16 d() const { return f_load(d_); }
  F32x16 dmin() const { return f_load(dmin_); }
  I32x16 correction(int i) const { return i_load(corrections[i]); }
};

// Where a dot product takes any byte, a format whose weights times their scales are bytes (they fit
// its Panel::Scaled) is expanded to these: no scale is left for the loop over the tokens.
template <class Panel>
struct ExpandedFrom {
  using Type = Panel;
};
template <class Panel>
  requires(kStepProducts == 4 && !kSignedDots && requires { typename Panel::Scaled; })
struct ExpandedFrom<Panel> {
  using Type = typename Panel::Scaled;
};
template <class Panel>
inline constexpr bool kScaledLines = requires { typename Panel::LinesAreScaled; };

template <class Panel>
using Shape256 = DotShape<Panel::kLargest, Panel::kGroupLines>;

template <class Panel, int j>
inline void expand_lines(const Panel& panel, Expanded256& out) {
  if constexpr (j < Panel::kGroups) {
    using Shape = Shape256<Panel>;
    for (int c = 0; c < Panel::kGroupLines; ++c) {
      const Bytes64 w = dot_operand<Panel>(panel.template line<j>(c));
      for (int plane = 0; plane < Shape::kPlanes; ++plane)
        b_store(out.lines[plane][j * Panel::kGroupLines + c], b_plane<Shape::kPlanes>(w, plane));
    }
    for (int plane = 0; plane < Shape::kPlanes && !kScaledLines<Panel>; ++plane)
      i_store(out.scales[plane][j], plane_scale<Shape>(panel.scale(j), plane));
    expand_lines<Panel, j + 1>(panel, out);
  }
}

template <class Panel>
inline void expand(const Panel& panel, Expanded256& out) {
  expand_lines<Panel, 0>(panel, out);
  for (int i = 0; i < Panel::kCorrections; ++i) i_store(out.corrections[i], panel.correction(i));
  f_store(out.d_, panel.d());
  f_store(out.dmin_, panel.dmin());
}

// All groups of a block straight from the panel: the group is a compile-time constant, so that
// every shift is. Two planes have runs of their own.
template <class Panel, int W, int N, int P, int group = 0>
inline void add_runs(const Panel* source, const uint32_t* q, const void* ahead,
                     IntSums<P, N>& sums) {
  using Shape = Shape256<Panel>;
  constexpr int kLines = Panel::kGroupLines;
  static_assert(P == 1 && N == W);
  if constexpr (group < Panel::kGroups) {
    const uint32_t* first = q + group * kLines * W;
    fetch_share(ahead, Panel::kBlockBytes, group, Panel::kGroups);
    if constexpr (Shape::kPlanes == 2) {
      static_assert(Shape::kRunLines == kLines);
      add_run_of_planes<Shape, W>([&](int c) { return source->template planes<group>(c); },
                                  source->scale(group), first, sums);
    } else {
      add_group<Shape, kLines, W>(
          [&](int c) { return dot_operand<Panel>(source->template line<group>(c)); },
          source->scale(group), first, sums);
    }
    forget_loads(q);  // keeps the fetches apart
    add_runs<Panel, W, N, P, group + 1>(source, q, ahead, sums);
  }
}

// All runs from the scratch; the activations of the next tile are fetched meanwhile.
template <class Panel, int W, int N, int P>
inline void add_runs(const Expanded256* source, const uint32_t* q, const void* ahead,
                     IntSums<P, N>& sums) {
  using Shape = Shape256<Panel>;
  constexpr int kStep = kScaledLines<Panel> ? 8 : Shape::kRunLines;
  for (int l = 0; l < 64; l += kStep) {
    fetch_share(static_cast<const uint32_t*>(ahead) + l * N, kStep * N * 4, 0, 1);
    if constexpr (kScaledLines<Panel>) {
      add_lines<8, W>([&](int i, int c) { return b_load(source[i].lines[0][l + c]); }, q + l * W,
                      sums);
      continue;
    }
    GM_UNROLL(2)
    for (int plane = 0; plane < Shape::kPlanes; ++plane) {
      add_run<Shape, W>(
          [&](int i, int c) { return b_load(source[i].lines[plane][l + c]); },
          [&](int i) { return i_load(source[i].scales[plane][l / Panel::kGroupLines]); }, q + l * W,
          sums);
      forget_loads(q);
    }
  }
}

// sums += corrections (minima, or the offset of biased weights) times pairs of activation sums.
template <class Panel, int W, int N, int P, class Source>
inline void add_corrections(const Source* source, const uint32_t* pairs, IntSums<P, N>& sums) {
  for (int c = 0; c < Panel::kCorrections; ++c) {
    I32x16 correction[P];
    GM_UNROLL(2)
    for (int i = 0; i < P; ++i) correction[i] = source[i].correction(c);
    GM_TILE(sums.v[i][t] = dot_s16(sums.v[i][t], correction[i], i_broadcast(pairs + c * W + t)));
  }
}

// acc(i, t) += one block; act points at the block of the tile, at the first token of the pass,
// ahead at what this pass fetches for the next one: the panel's next block or, when that is in the
// scratch, the share of the next tile's activations.
// The int sums come first and acc is touched last: 12 x (dot, sum, acc) would not fit 32 registers.
template <class Panel, int W, int N, int P, class Source, class Acc>
inline void add_block_256(const Source* source, const uint32_t* act, const void* ahead, Acc& acc) {
  const uint32_t* pair_sums = act + (Panel::kCorrections == 8 ? 68 : 64) * W;
  const uint32_t* d_act = act + 76 * W;
  IntSums<P, N> sums;
  sums.clear();
  add_runs<Panel, W, N, P>(source, act, ahead, sums);
  if constexpr (!Panel::kHasMin && !kSignedLines<Panel>)
    add_corrections<Panel, W>(source, pair_sums, sums);
  F32x16 d[P];
  GM_UNROLL(2)
  for (int i = 0; i < P; ++i) d[i] = source[i].d();
  RegisterSums<P, N> total;
  GM_TILE(total.v[i][t] =
              f_fma(f_mul(d[i], f_broadcast(d_act + t)), f_from_i32(sums.v[i][t]), acc.get(i, t)));
  if constexpr (Panel::kHasMin) {
    sums.clear();
    add_corrections<Panel, W>(source, pair_sums, sums);
    GM_UNROLL(2)
    for (int i = 0; i < P; ++i) d[i] = source[i].dmin();
    GM_TILE(total.v[i][t] = f_fnma(f_mul(d[i], f_broadcast(d_act + t)), f_from_i32(sums.v[i][t]),
                                   total.v[i][t]));
  }
  GM_TILE(acc.set(i, t, total.v[i][t]));
}

// A step of the loop in linear.inl.h: one block.
template <class PanelType>
struct Steps256 {
  using Panel = PanelType;
  using Form = typename ExpandedFrom<Panel>::Type;
  using Expanded = Expanded256;
  static constexpr size_t kTile = kLineTile;
  static constexpr size_t kActDwords = kAct256Dwords;
  static constexpr size_t kStepBytes = Panel::kBlockBytes;
  static size_t count(size_t K) { return K / 256; }
  static size_t panel_bytes(size_t K) { return K / 256 * Panel::kBlockBytes; }
  static void fill(const uint8_t* panel, size_t, size_t step, Expanded& out) {
    expand(Form(panel + step * Panel::kBlockBytes), out);
  }
  template <int W>
  static void add_direct(const uint8_t* panel, size_t, size_t step, const uint32_t* act,
                         RegisterSums<1, W>& acc) {
    const Panel source(panel + step * Panel::kBlockBytes);
    add_block_256<Panel, W, W, 1>(&source, act, source.block + Panel::kBlockBytes, acc);
  }
  template <int W, int N, int P>
  static void add_expanded(const Expanded* source, size_t, size_t, const uint32_t* act,
                           const uint32_t* ahead, ScratchSums sums) {
    add_block_256<Form, W, N, P>(source, act, ahead, sums);
  }
};
