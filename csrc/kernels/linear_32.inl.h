// SPDX-License-Identifier: MIT
// 32-value blocks times a tile of activations; W, N, P as in linear_256.inl.h. A step is up to 8
// blocks, so that the float sums stay in registers for 256 values.
struct Expanded32 {
  alignas(64) uint8_t lines[8][8][64];
  alignas(64) float d[8][16];
};

// Block b of expanded panels.
struct Expanded32Block {
  const Expanded32* panels;
  size_t b;
  F32x16 d(int i) const { return f_load(panels[i].d[b]); }
  Bytes64 line(int i, int c) const { return b_load(panels[i].lines[b][c]); }
};

template <class Panel>
struct Direct32Block {
  Panel panel;
  F32x16 d(int) const { return panel.d(); }
  Bytes64 line(int, int c) const { return panel.line(c); }
};

// acc += one block.
template <int W, int N, int P, class Source>
inline void add_block_32(const Source& source, const uint32_t* act, RegisterSums<P, N>& acc) {
  IntSums<P, N> dot;
  GM_TILE(dot.v[i][t] = kS8Bias != 0 ? i_broadcast(act + 8 * W + t) : i_zero());
  GM_UNROLL(8)
  for (int c = 0; c < 8; ++c) {
    Bytes64 w[P];
    GM_UNROLL(2)
    for (int i = 0; i < P; ++i) w[i] = source.line(i, c);
    GM_UNROLL(12)
    for (int t = 0; t < N; ++t) {
      const I32x16 a = i_broadcast(act + c * W + t);
      GM_UNROLL(2)
      for (int i = 0; i < P; ++i) dot.v[i][t] = dot_s8(dot.v[i][t], w[i], a);
    }
  }
  F32x16 d[P];
  GM_UNROLL(2)
  for (int i = 0; i < P; ++i) d[i] = source.d(i);
  GM_TILE(acc.v[i][t] = f_fma(f_mul(d[i], f_broadcast(act + 9 * W + t)), f_from_i32(dot.v[i][t]),
                              acc.v[i][t]));
}

template <class PanelType>
struct Steps32 {
  using Panel = PanelType;
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
                         RegisterSums<1, W>& acc) {
    for (size_t b = 0; b < blocks(K, step); ++b)
      add_block_32<W, W, 1>(Direct32Block<Panel>{block(panel, step, b)}, act + b * kAct32Dwords * W,
                            acc);
  }
  template <int W, int N, int P>
  static void add_expanded(const Expanded* source, size_t K, size_t step, const uint32_t* act,
                           const uint32_t* ahead, ScratchSums sums) {
    RegisterSums<P, N> acc;
    acc.load(sums);
    for (size_t b = 0; b < blocks(K, step); ++b) {
      const uint32_t* next = ahead + b * kAct32Dwords * N;
      GM_UNROLL(8)
      for (size_t i = 0; i < kAct32Dwords * N; i += 16) __builtin_prefetch(next + i);
      add_block_32<W, N, P>(Expanded32Block{source, b}, act + b * kAct32Dwords * W, acc);
    }
    acc.store(sums);
  }
};
