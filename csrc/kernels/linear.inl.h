// SPDX-License-Identifier: MIT
// out = W x over panels: the one loop of decode (T = 1), small batches and prefill. Few tokens read
// the weights straight from the panel and expand them in registers; many tokens expand a k-step
// (256 values, or 128 floats) of kPanelPair panels into L1 once and walk the token tiles. Steps is
// Steps256, Steps32 or StepsFloat. Per block of a quantized format: exact int32 sums, then
// acc = fma(dw * da, float(sum), acc).

template <class Steps>
struct DirectTile {
  const LinearArgs& args;
  size_t p, t0;
  const uint8_t* panel;
  const uint32_t* act;
  template <int W>
  void run() {
    RegisterSums<1, W> acc;
    acc.clear();
    for (size_t s = 0; s < Steps::count(args.K); ++s)  // fetches the weights of the next step
      Steps::template add_direct<W>(panel, args.K, s, act + s * Steps::kActDwords * W, acc);
    store_rows<W>(args, p, t0, acc.v[0]);
  }
};

// One panel, few enough tokens to expand every weight in registers.
template <class Steps>
inline void linear_direct(const LinearArgs& args, size_t p, size_t t0, size_t row_dwords) {
  const uint8_t* panel = args.panels + p * Steps::panel_bytes(args.K);
  for (size_t t = t0; t < args.T; t += tile_width(args.T - t, kDirectTokens))
    with_width<kDirectTokens>(tile_width(args.T - t, kDirectTokens),
                              DirectTile<Steps>{args, p, t, panel, args.act + t * row_dwords});
}

// args.scratch: the expanded step of P panels, then their sums, [P][token block][16] f32.
template <class Steps, int P>
struct ExpandedTile {
  const LinearArgs& args;
  size_t p, t0, step;
  const typename Steps::Expanded* source;
  const uint32_t* act;
  size_t row_dwords;
  ScratchSums sums;
  template <int W>
  void run() {
    // Two panels share each broadcast: half the tokens of a full tile fill the registers.
    constexpr int N = P * W > kRegisterTokens ? W / P : W;
    const bool last = step + 1 == Steps::count(args.K);
    float* out = args.out + t0 * args.out_stride + p * kPanelRows;
    for (size_t t = 0; last && t < W; ++t)
      for (size_t i = 0; i < P; ++i)
        __builtin_prefetch(out + t * args.out_stride + i * kPanelRows, 1);
    const uint32_t* q = act + step * Steps::kActDwords * W;
    const uint32_t* next = q + row_dwords * W;  // the same step of the next tile
    for (int t = 0; t < W; t += N)
      Steps::template add_expanded<W, N, P>(source, args.K, step, q + t,
                                            next + Steps::kActDwords * t,
                                            {sums.p + 16 * t, sums.panel_stride});
    for (int i = 0; last && i < P; ++i) {
      RegisterSums<1, W> acc;
      acc.load({sums.p + static_cast<size_t>(i) * sums.panel_stride, 0});
      store_rows<W>(args, p + static_cast<size_t>(i), t0, acc.v[0]);
    }
  }
};

// Panels [p, p + P) for tokens [t0, t1).
template <class Steps, int P>
inline void linear_expanded(const LinearArgs& args, size_t p, size_t t0, size_t t1,
                            size_t row_dwords) {
  const size_t panel_bytes = Steps::panel_bytes(args.K);
  auto* expanded = reinterpret_cast<typename Steps::Expanded*>(args.scratch);
  const ScratchSums sums{reinterpret_cast<float*>(args.scratch + P * sizeof(*expanded)),
                         (t1 - t0) * kPanelRows};
  std::memset(sums.p, 0, P * sums.panel_stride * sizeof(float));
  // Each tile fetches its share of the next step's weights: all at once would stall on the misses.
  const size_t share = (Steps::kStepBytes * Steps::kTile / (t1 - t0) + 64) / 64 * 64;
  for (size_t s = 0; s < Steps::count(args.K); ++s) {
    const uint8_t* panel = args.panels + p * panel_bytes;
    for (int i = 0; i < P; ++i)
      Steps::fill(panel + static_cast<size_t>(i) * panel_bytes, args.K, s, expanded[i]);
    const uint8_t* ahead = panel + (s + 1) * Steps::kStepBytes;
    for (size_t t = t0; t < t1; t += tile_width(args.T - t, Steps::kTile)) {
      for (size_t i = 0; i < P; ++i)
        for (size_t b = 0; b < share; b += 64) __builtin_prefetch(ahead + i * panel_bytes + b);
      ahead += share;
      with_width<Steps::kTile>(
          tile_width(args.T - t, Steps::kTile),
          ExpandedTile<Steps, P>{args,
                                 p,
                                 t,
                                 s,
                                 expanded,
                                 args.act + t * row_dwords,
                                 row_dwords,
                                 {sums.p + (t - t0) * kPanelRows, sums.panel_stride}});
    }
  }
}

// What expands weights for many tokens.
#ifdef GM_PAIR_PRODUCTS
template <class Steps>
using ManyTokens = typename PairStepsOf<Steps>::Type;
#else
template <class Steps>
using ManyTokens = Steps;
#endif

template <class Steps, ActKind kind>
void linear(const LinearArgs& args, size_t p0, size_t p1) noexcept {
  const size_t row_dwords = act_dwords(kind, args.K);
  size_t t = 0;
#ifdef GM_MATRIX_UNIT
  if constexpr (kind != ActKind::F32) {
    t = args.T / kTileTokens * kTileTokens;
    if (t != 0) linear_tiles<TileSteps<Steps>>(args, p0, p1, t, row_dwords);
  }
#endif
  if (t == args.T) return;
  if constexpr (kDirectTokens != 0) {
    if (args.T - t <= kDirectTokens) {
      for (size_t p = p0; p < p1; ++p) linear_direct<Steps>(args, p, t, row_dwords);
      return;
    }
  }
  const size_t block = token_block(args.T - t, row_dwords);
  for (; t < args.T; t += block) {
    const size_t end = t + block < args.T ? t + block : args.T;
    size_t p = p0;
    for (; p + kPanelPair <= p1; p += kPanelPair)
      linear_expanded<ManyTokens<Steps>, kPanelPair>(args, p, t, end, row_dwords);
    for (; p < p1; ++p) linear_expanded<ManyTokens<Steps>, 1>(args, p, t, end, row_dwords);
  }
}

size_t linear_scratch_bytes(size_t T) noexcept {
  constexpr size_t kInts = sizeof(Expanded256), kFloats = sizeof(StepsFloat<F32Panel>::Expanded);
  static_assert(kInts >= sizeof(Expanded32));
  constexpr size_t kExpanded = kInts > kFloats ? kInts : kFloats;
#ifdef GM_PAIR_PRODUCTS
  static_assert(kExpanded >= sizeof(PairLines256) && kExpanded >= sizeof(PairLines32));
#endif
  const size_t lines = kPanelPair * (kExpanded + T * kPanelRows * sizeof(float));
#ifdef GM_MATRIX_UNIT
  const size_t tiles = TileScratch::bytes(T);
  return tiles > lines ? tiles : lines;
#else
  return lines;
#endif
}
