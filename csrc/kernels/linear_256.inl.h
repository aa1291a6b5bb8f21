// SPDX-License-Identifier: MIT
// 256-value blocks times a tile of activations: exact int32 sums, then one FMA per block (and one
// for the minima). W is the width of the tile, N the tokens of this pass (N = W, or half a tile
// when P = 2 panels share each broadcast activation), Source a Panel or its expansion in the
// scratch.

// A panel block of a 256-value format, expanded.
struct Expanded256 {
  alignas(64) uint8_t lines[64][64];
  alignas(64) int32_t scales[16][16];
  alignas(64) int32_t corrections[8][16];
  alignas(64) float d_[16];
  alignas(64) float dmin_[16];

  F32x16 d() const { return f_load(d_); }
  F32x16 dmin() const { return f_load(dmin_); }
  I32x16 scale(int j) const { return i_load(scales[j]); }
  I32x16 correction(int i) const { return i_load(corrections[i]); }
};

template <class Panel, int j>
inline void expand_lines(const Panel& panel, Expanded256& out) {
  if constexpr (j < Panel::kGroups) {
    for (int c = 0; c < Panel::kGroupLines; ++c)
      b_store(out.lines[j * Panel::kGroupLines + c], panel.template line<j>(c));
    i_store(out.scales[j], panel.scale(j));
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

// Lines whose dot products share one multiplication by the scale: a group, or the part of it whose
// sum fits int16, where one int16 dot product folds scale and addition.
template <class Panel>
inline constexpr int kRunLines = Panel::kFoldLines != 0 ? Panel::kFoldLines : Panel::kGroupLines;

template <int P, int N>
struct IntSums {
  I32x16 v[P][N];
  void clear() { GM_TILE(v[i][t] = i_zero()); }
};

// sums += scale(i) * dot of one run of lines; line(i, c) gives line c of the run of panel i.
template <class Panel, int W, int N, int P, class Line, class Scale>
inline void add_run(const Line& line, const Scale& scale, const uint32_t* q, IntSums<P, N>& sums) {
  IntSums<P, N> dot;
  dot.clear();
  GM_UNROLL(8)
  for (int c = 0; c < kRunLines<Panel>; ++c) {
    Bytes64 w[P];
    GM_UNROLL(2)
    for (int i = 0; i < P; ++i) w[i] = line(i, c);
    GM_UNROLL(12)
    for (int t = 0; t < N; ++t) {
      const I32x16 a = i_broadcast(q + c * W + t);
      GM_UNROLL(2)
      for (int i = 0; i < P; ++i) dot.v[i][t] = dot_u8(dot.v[i][t], w[i], a);
    }
  }
  GM_UNROLL(2)
  for (int i = 0; i < P; ++i) {
    const I32x16 s = scale(i);
    GM_UNROLL(12)
    for (int t = 0; t < N; ++t)
      sums.v[i][t] = Panel::kFoldLines != 0 ? dot_s16(sums.v[i][t], dot.v[i][t], s)
                                            : i_add(sums.v[i][t], i_mul(dot.v[i][t], s));
  }
}

// All runs of a block straight from the panel: the group index is a compile-time constant, so that
// every shift is.
template <class Panel, int W, int N, int P, int run = 0>
inline void add_runs(const Panel* source, const uint32_t* q, const uint32_t* ahead,
                     IntSums<P, N>& sums) {
  constexpr int kRuns = Panel::kGroups * Panel::kGroupLines / kRunLines<Panel>;
  if constexpr (run < kRuns) {
    constexpr int kLine = run * kRunLines<Panel>;
    constexpr int kGroup = kLine / Panel::kGroupLines;
    add_run<Panel, W>(
        [&](int i, int c) {
          return source[i].template line<kGroup>(kLine % Panel::kGroupLines + c);
        },
        [&](int i) { return source[i].scale(kGroup); }, q + kLine * W, sums);
    add_runs<Panel, W, N, P, run + 1>(source, q, ahead, sums);
  }
}

// All runs from the scratch; the activations of the next tile are fetched meanwhile.
template <class Panel, int W, int N, int P>
inline void add_runs(const Expanded256* source, const uint32_t* q, const uint32_t* ahead,
                     IntSums<P, N>& sums) {
  for (int l = 0; l < 64; l += kRunLines<Panel>) {
    GM_UNROLL(8)
    for (int b = 0; b < kRunLines<Panel> * N * 4; b += 64)
      __builtin_prefetch(reinterpret_cast<const uint8_t*>(ahead + l * N) + b);
    add_run<Panel, W>([&](int i, int c) { return b_load(source[i].lines[l + c]); },
                      [&](int i) { return source[i].scale(l / Panel::kGroupLines); }, q + l * W,
                      sums);
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
// ahead at the share of the next tile's block that this pass fetches (unused without a scratch).
// The int sums come first and acc is touched last: 12 x (dot, sum, acc) would not fit 32 registers.
template <class Panel, int W, int N, int P, class Source, class Acc>
inline void add_block_256(const Source* source, const uint32_t* act, const uint32_t* ahead,
                          Acc& acc) {
  const uint32_t* pair_sums = act + (Panel::kHasMin ? 64 : 68) * W;
  const uint32_t* d_act = act + 76 * W;
  IntSums<P, N> sums;
  sums.clear();
  add_runs<Panel, W, N, P>(source, act, ahead, sums);
  if constexpr (!Panel::kHasMin) add_corrections<Panel, W>(source, pair_sums, sums);
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
  using Expanded = Expanded256;
  static constexpr size_t kActDwords = kAct256Dwords;
  static constexpr size_t kStepBytes = Panel::kBlockBytes;
  static size_t count(size_t K) { return K / 256; }
  static size_t panel_bytes(size_t K) { return K / 256 * Panel::kBlockBytes; }
  static void fill(const uint8_t* panel, size_t, size_t step, Expanded& out) {
    expand(Panel(panel + step * Panel::kBlockBytes), out);
  }
  template <int W>
  static void add_direct(const uint8_t* panel, size_t, size_t step, const uint32_t* act,
                         RegisterSums<1, W>& acc) {
    const Panel source(panel + step * Panel::kBlockBytes);
    add_block_256<Panel, W, W, 1>(&source, act, nullptr, acc);
  }
  template <int W, int N, int P>
  static void add_expanded(const Expanded* source, size_t, size_t, const uint32_t* act,
                           const uint32_t* ahead, ScratchSums sums) {
    add_block_256<Panel, W, N, P>(source, act, ahead, sums);
  }
};
