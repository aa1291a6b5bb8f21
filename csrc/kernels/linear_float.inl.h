// SPDX-License-Identifier: MIT
// out = W x for F32, F16 and BF16 panels: f32 FMA in two chains per row, even and odd k, added at
// the end. A lane is a row, so there is no horizontal sum; two chains hide the FMA latency in
// decode and leave 12 tokens x 2 accumulators in 32 registers for prefill.
struct F32Panel {
  using Value = float;
  static F32x16 load(const uint8_t* p) { return f_load(reinterpret_cast<const float*>(p)); }
};
struct F16Panel {
  using Value = uint16_t;
  static F32x16 load(const uint8_t* p) { return f_load_f16(reinterpret_cast<const uint16_t*>(p)); }
};
struct BF16Panel {
  using Value = uint16_t;
  static F32x16 load(const uint8_t* p) { return f_load_bf16(reinterpret_cast<const uint16_t*>(p)); }
};

template <class Panel>
struct FloatTile {
  const LinearArgs& args;
  size_t p, t0;
  const uint8_t* panel;
  const uint32_t* act;
  template <int W>
  void run() {
    constexpr int N = W > kRegisterTokens ? W / 2 : W;
    for (int t = 0; t < W; t += N) tokens<W, N>(act + t, t0 + static_cast<size_t>(t));
  }

  // N tokens of a tile of W.
  template <int W, int N>
  void tokens(const uint32_t* x, size_t first) {
    constexpr size_t kLine = kPanelRows * sizeof(typename Panel::Value);
    F32x16 even[N], odd[N];
    GM_UNROLL(12)
    for (int t = 0; t < N; ++t) even[t] = odd[t] = f_zero();
    size_t k = 0;
    for (; k + 2 <= args.K; k += 2) {
      const F32x16 w0 = Panel::load(panel + k * kLine), w1 = Panel::load(panel + (k + 1) * kLine);
      GM_UNROLL(12)
      for (int t = 0; t < N; ++t) {
        even[t] = f_fma(w0, f_broadcast(x + k * W + t), even[t]);
        odd[t] = f_fma(w1, f_broadcast(x + (k + 1) * W + t), odd[t]);
      }
    }
    if (k < args.K) {
      const F32x16 w0 = Panel::load(panel + k * kLine);
      GM_UNROLL(12)
      for (int t = 0; t < N; ++t) even[t] = f_fma(w0, f_broadcast(x + k * W + t), even[t]);
    }
    GM_UNROLL(12)
    for (int t = 0; t < N; ++t) even[t] = f_add(even[t], odd[t]);
    store_rows<N>(args, p, first, even);
  }
};

template <class Panel>
void linear_float(const LinearArgs& args, size_t p0, size_t p1) noexcept {
  const size_t panel_stride = args.K * kPanelRows * sizeof(typename Panel::Value);
  for (size_t p = p0; p < p1; ++p)
    for (size_t t = 0; t < args.T; t += tile_width(args.T - t, kMaxTile))
      with_width<kMaxTile>(
          tile_width(args.T - t, kMaxTile),
          FloatTile<Panel>{args, p, t, args.panels + p * panel_stride, args.act + t * args.K});
}
