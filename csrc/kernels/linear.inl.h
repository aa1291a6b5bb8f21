// SPDX-License-Identifier: MIT
// out = W x over panels: the one loop of decode (T = 1), small batches and prefill. A Source gives
// the lines, scales and corrections of one k-step (256 values) of one panel, either straight from
// the panel (few tokens) or from an L1 scratch into which it was expanded once (many tokens).
// Per block: exact int32 sums, then acc = fma(dw * da, float(sum), acc): the numerics contract.

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

// The running f32 sums of W tokens, in registers or in the scratch.
template <int W>
struct RegisterSums {
  F32x16 v[W];
  F32x16 get(int t) const { return v[t]; }
  void set(int t, F32x16 x) { v[t] = x; }
  void load(const float* p) {
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t) v[t] = f_load(p + 16 * t);
  }
  void store(float* p) const {
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t) f_store(p + 16 * t, v[t]);
  }
};
struct ScratchSums {
  float* p;
  F32x16 get(int t) const { return f_load(p + 16 * t); }
  void set(int t, F32x16 x) { f_store(p + 16 * t, x); }
};

// Lines whose dot products share one multiplication by the scale: a group, or the part of it whose
// sum fits int16, where one int16 dot product folds scale and addition.
template <class Panel>
inline constexpr int kRunLines = Panel::kFoldLines != 0 ? Panel::kFoldLines : Panel::kGroupLines;

// sum[t] += scale * dot of one run of lines, for W tokens; line(c) gives line c of the run.
template <class Panel, int W, class Line>
inline void add_run(const Line& line, I32x16 scale, const uint32_t* q, I32x16 (&sum)[W]) {
  I32x16 dot[W];
  GM_UNROLL(12)
  for (int t = 0; t < W; ++t) dot[t] = i_zero();
  GM_UNROLL(8)
  for (int c = 0; c < kRunLines<Panel>; ++c) {
    const Bytes64 w = line(c);
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t) dot[t] = dot_u8(dot[t], w, i_broadcast(q + c * W + t));
  }
  GM_UNROLL(12)
  for (int t = 0; t < W; ++t)
    sum[t] = Panel::kFoldLines != 0 ? dot_s16(sum[t], dot[t], scale)
                                    : i_add(sum[t], i_mul(dot[t], scale));
}

// All runs of a block straight from the panel: the group index is a compile-time constant, so that
// every shift is.
template <class Panel, int W, int run = 0>
inline void add_runs(const Panel& source, const uint32_t* q, I32x16 (&sum)[W]) {
  constexpr int kRuns = Panel::kGroups * Panel::kGroupLines / kRunLines<Panel>;
  if constexpr (run < kRuns) {
    constexpr int kLine = run * kRunLines<Panel>;
    constexpr int kGroup = kLine / Panel::kGroupLines;
    add_run<Panel, W>(
        [&](int c) { return source.template line<kGroup>(kLine % Panel::kGroupLines + c); },
        source.scale(kGroup), q + kLine * W, sum);
    add_runs<Panel, W, run + 1>(source, q, sum);
  }
}

// All runs from the scratch.
template <class Panel, int W>
inline void add_runs(const Expanded256& source, const uint32_t* q, I32x16 (&sum)[W]) {
  for (int l = 0; l < 64; l += kRunLines<Panel>) {
    const uint8_t (*lines)[64] = source.lines + l;
    add_run<Panel, W>([&](int c) { return b_load(lines[c]); }, source.scale(l / Panel::kGroupLines),
                      q + l * W, sum);
  }
}

// acc[t] += one 256-value block; act is the block of a tile of W tokens (formats/activation.h).
// The sums come first and acc is touched last: 12 tokens x (dot, sum, acc) would not fit 32
// registers.
template <class Panel, int W, class Source, class Acc>
inline void add_block_256(const Source& source, const uint32_t* act, Acc& acc) {
  const uint32_t* pair_sums = act + (Panel::kHasMin ? 64 : 68) * W;
  const uint32_t* d_act = act + 76 * W;
  I32x16 sum[W];
  GM_UNROLL(12)
  for (int t = 0; t < W; ++t) sum[t] = i_zero();
  add_runs<Panel, W>(source, act, sum);
  if constexpr (!Panel::kHasMin) {
    for (int i = 0; i < Panel::kCorrections; ++i) {
      const I32x16 correction = source.correction(i);
      GM_UNROLL(12)
      for (int t = 0; t < W; ++t)
        sum[t] = dot_s16(sum[t], correction, i_broadcast(pair_sums + i * W + t));
    }
  }
  const F32x16 d = source.d();
  GM_UNROLL(12)
  for (int t = 0; t < W; ++t)
    acc.set(t, f_fma(f_mul(d, f_broadcast(d_act + t)), f_from_i32(sum[t]), acc.get(t)));
  if constexpr (Panel::kHasMin) {
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t) sum[t] = i_zero();
    for (int i = 0; i < Panel::kCorrections; ++i) {
      const I32x16 mins = source.correction(i);
      GM_UNROLL(12)
      for (int t = 0; t < W; ++t)
        sum[t] = dot_s16(sum[t], mins, i_broadcast(pair_sums + i * W + t));
    }
    const F32x16 dmin = source.dmin();
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t)
      acc.set(t, f_fnma(f_mul(dmin, f_broadcast(d_act + t)), f_from_i32(sum[t]), acc.get(t)));
  }
}

// Up to 8 blocks of a 32-value format, expanded.
struct Expanded32 {
  alignas(64) uint8_t lines[8][8][64];
  alignas(64) float d[8][16];
};

struct Expanded32Block {
  const Expanded32& all;
  size_t b;
  F32x16 d() const { return f_load(all.d[b]); }
  Bytes64 line(int c) const { return b_load(all.lines[b][c]); }
};

// acc[t] += one 32-value block.
template <int W, class Source>
inline void add_block_32(const Source& source, const uint32_t* act, RegisterSums<W>& acc) {
  I32x16 dot[W];
  GM_UNROLL(12)
  for (int t = 0; t < W; ++t) dot[t] = kS8Bias != 0 ? i_broadcast(act + 8 * W + t) : i_zero();
  GM_UNROLL(8)
  for (int c = 0; c < 8; ++c) {
    const Bytes64 line = source.line(c);
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t) dot[t] = dot_s8(dot[t], line, i_broadcast(act + c * W + t));
  }
  const F32x16 d = source.d();
  GM_UNROLL(12)
  for (int t = 0; t < W; ++t)
    acc.v[t] = f_fma(f_mul(d, f_broadcast(act + 9 * W + t)), f_from_i32(dot[t]), acc.v[t]);
}

// The two families behind one interface: a step is up to 256 values of a row.
template <class Panel>
struct Steps256 {
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
                         RegisterSums<W>& acc) {
    add_block_256<Panel, W>(Panel(panel + step * Panel::kBlockBytes), act, acc);
  }
  template <int W>
  static void add_expanded(const Expanded& source, size_t, size_t, const uint32_t* act,
                           float* sums) {
    ScratchSums acc{sums};
    add_block_256<Panel, W>(source, act, acc);
  }
};

template <class Panel>
struct Steps32 {
  using Expanded = Expanded32;
  static constexpr size_t kActDwords = 8 * kAct32Dwords;
  static constexpr size_t kStepBytes = 8 * Panel::kBlockBytes;
  static size_t count(size_t K) { return (K + 255) / 256; }
  static size_t panel_bytes(size_t K) { return K / 32 * Panel::kBlockBytes; }
  static size_t blocks(size_t K, size_t step) {
    const size_t left = K / 32 - step * 8;
    return left < 8 ? left : 8;
  }
  static Panel block(const uint8_t* panel, size_t step, size_t b) {
    return Panel{panel + (step * 8 + b) * Panel::kBlockBytes};
  }
  static void fill(const uint8_t* panel, size_t K, size_t step, Expanded& out) {
    for (size_t b = 0; b < blocks(K, step); ++b) {
      const Panel source = block(panel, step, b);
      for (int c = 0; c < 8; ++c) b_store(out.lines[b][c], source.line(c));
      f_store(out.d[b], source.d());
    }
  }
  template <int W>
  static void add_direct(const uint8_t* panel, size_t K, size_t step, const uint32_t* act,
                         RegisterSums<W>& acc) {
    for (size_t b = 0; b < blocks(K, step); ++b)
      add_block_32<W>(block(panel, step, b), act + b * 10 * W, acc);
  }
  template <int W>
  static void add_expanded(const Expanded& source, size_t K, size_t step, const uint32_t* act,
                           float* sums) {
    RegisterSums<W> acc;
    acc.load(sums);
    for (size_t b = 0; b < blocks(K, step); ++b)
      add_block_32<W>(Expanded32Block{source, b}, act + b * 10 * W, acc);
    acc.store(sums);
  }
};

// Writes the 16 rows of panel p for W tokens, clipped to the rows that exist.
template <int W>
inline void store_rows(const LinearArgs& args, size_t p, size_t t0, const F32x16 (&acc)[W]) {
  const size_t row = p * kPanelRows;
  const size_t n = args.rows - row < kPanelRows ? args.rows - row : kPanelRows;
  GM_UNROLL(12)
  for (int t = 0; t < W; ++t) {
    float* out = args.out + (t0 + static_cast<size_t>(t)) * args.out_stride + row;
    if (n == kPanelRows) {
      f_store(out, args.accumulate ? f_add(f_load(out), acc[t]) : acc[t]);
    } else {
      f_store_partial(out, n, args.accumulate ? f_add(f_load_partial(out, n), acc[t]) : acc[t]);
    }
  }
}

// Calls f.run<W>() with the width as a compile-time constant.
template <size_t kWidest, class F>
inline void with_width(size_t width, F&& f) {
  switch (width) {
    case 1:
      return f.template run<1>();
    case 2:
      return f.template run<2>();
    case 4:
      return f.template run<4>();
    case 8:
      if constexpr (kWidest >= 8) return f.template run<8>();
      return;
    default:
      if constexpr (kWidest >= 12) return f.template run<12>();
  }
}

// Few tokens: every weight is expanded in registers, one pass over the panel per tile.
template <class Steps>
struct DirectTile {
  const LinearArgs& args;
  size_t p, t0;
  const uint8_t* panel;
  const uint32_t* act;
  template <int W>
  void run() {
    RegisterSums<W> acc;
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t) acc.v[t] = f_zero();
    for (size_t s = 0; s < Steps::count(args.K); ++s)
      Steps::template add_direct<W>(panel, args.K, s, act + s * Steps::kActDwords * W, acc);
    store_rows<W>(args, p, t0, acc.v);
  }
};

// Many tokens: one step from the scratch; the sums wait in args.scratch, [T][16] f32.
template <class Steps>
struct ExpandedTile {
  const LinearArgs& args;
  size_t p, t0, step;
  const typename Steps::Expanded& source;
  const uint32_t* act;
  float* sums;
  template <int W>
  void run() {
    const bool last = step + 1 == Steps::count(args.K);
    float* out = args.out + t0 * args.out_stride + p * kPanelRows;
    for (size_t t = 0; last && t < W; ++t) __builtin_prefetch(out + t * args.out_stride, 1);
    Steps::template add_expanded<W>(source, args.K, step, act + step * Steps::kActDwords * W, sums);
    if (!last) return;
    RegisterSums<W> acc;
    acc.load(sums);
    store_rows<W>(args, p, t0, acc.v);
  }
};

// Tokens whose activations (and running sums) stay in L2 while the panels of a chunk of work pass.
inline constexpr size_t kActBlockBytes = 640 * 1024;
inline constexpr size_t kMinTokenBlock = 4 * 12;  // below it, expanding the panel would dominate

inline size_t token_block(size_t T, size_t row_dwords) {
  const size_t fit = kActBlockBytes / (row_dwords * 4) / kMaxTile * kMaxTile;
  const size_t block = fit > kMinTokenBlock ? fit : kMinTokenBlock;
  return T < block ? T : block;
}

// One panel for tokens [t0, t0 + n), few enough to expand every weight in registers.
template <class Steps>
inline void linear_direct(const LinearArgs& args, size_t p, size_t row_dwords) {
  const uint8_t* panel = args.panels + p * Steps::panel_bytes(args.K);
  for (size_t t = 0; t < args.T; t += tile_width(args.T - t, kDirectTokens))
    with_width<kDirectTokens>(tile_width(args.T - t, kDirectTokens),
                              DirectTile<Steps>{args, p, t, panel, args.act + t * row_dwords});
}

template <class Steps>
inline void linear_expanded(const LinearArgs& args, size_t p, size_t t0, size_t t1,
                            size_t row_dwords) {
  const uint8_t* panel = args.panels + p * Steps::panel_bytes(args.K);
  auto& expanded = *reinterpret_cast<typename Steps::Expanded*>(args.scratch);
  float* sums = reinterpret_cast<float*>(args.scratch + sizeof(Expanded256));
  std::memset(sums, 0, (t1 - t0) * kPanelRows * sizeof(float));
  for (size_t s = 0; s < Steps::count(args.K); ++s) {
    Steps::fill(panel, args.K, s, expanded);
    // The next step's weights (or the next panel's: they follow) arrive while the tokens pass.
    const uint8_t* next = panel + (s + 1) * Steps::kStepBytes;
    for (size_t i = 0; i < Steps::kStepBytes; i += 64) __builtin_prefetch(next + i, 0, 2);
    for (size_t t = t0; t < t1; t += tile_width(args.T - t, kMaxTile))
      with_width<kMaxTile>(tile_width(args.T - t, kMaxTile),
                           ExpandedTile<Steps>{args, p, t, s, expanded, args.act + t * row_dwords,
                                               sums + (t - t0) * kPanelRows});
  }
}

template <class Steps, ActKind kind>
void linear(const LinearArgs& args, size_t p0, size_t p1) noexcept {
  const size_t row_dwords = act_dwords(kind, args.K);
  if constexpr (kDirectTokens != 0) {
    if (args.T <= kDirectTokens) {
      for (size_t p = p0; p < p1; ++p) linear_direct<Steps>(args, p, row_dwords);
      return;
    }
  }
  const size_t block = token_block(args.T, row_dwords);
  for (size_t t = 0; t < args.T; t += block) {
    const size_t end = t + block < args.T ? t + block : args.T;
    for (size_t p = p0; p < p1; ++p) linear_expanded<Steps>(args, p, t, end, row_dwords);
  }
}
