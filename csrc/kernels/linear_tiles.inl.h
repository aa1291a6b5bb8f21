// SPDX-License-Identifier: MIT
// Full tiles of 16 tokens on the matrix unit. A step (256 values) of a panel is expanded to int8
// lines once, then 32 (or 16) tokens at a time are multiplied with it; what follows is the
// arithmetic of linear_256 and linear_32, sum for sum. The unit knows no scales. 256-value blocks:
// the scale of a group is multiplied into its weights, low + 128 * high, and two products over the
// whole block give the exact sum. 32-value blocks have a float scale each: one product per block.
// The unit works beside the vector ports, so each product is followed by a share of the float work
// on the results before it (Pending).
inline constexpr size_t kTileTokens = kTokenMajorTile;
inline constexpr size_t kTileSums = kTileTokens * kPanelRows;  // int32 sums of one result
inline constexpr size_t kPassTokens = 2 * kTileTokens;

// Results of 32 tokens that are not in the float sums yet. A pass of 16 tokens writes what would be
// its second half to a spare place behind the sums, and so does the pass before the first.
template <class Scales>
struct Pending {
  Scales scales;
  const uint32_t* act[2];  // of the block
  const int32_t* sums;
  float* acc;  // [32][16]
};

// What a pass over one panel reads and writes.
struct TilePass {
  const uint32_t* act[2];  // activations of the step; twice the same if there is one tile
  const uint32_t* next;    // a tile of the next pass, to be fetched
  float* acc;              // [32][16]
  int32_t* results[2];     // of kTileSums * 4 each, used in turn
};

struct TileLines256 {
  alignas(64) uint8_t low[64][64];
  alignas(64) uint8_t high[64][64];
};

struct TileScales256 {
  alignas(64) int32_t mins[8][16];
  alignas(64) float d[16];
  alignas(64) float dmin[16];
};

template <class Panel, int j = 0>
inline void expand_tiles(const Panel& panel, TileLines256& out) {
  if constexpr (j < Panel::kGroups) {
    const I32x16 scale = panel.scale(j);
    for (int c = 0; c < Panel::kGroupLines; ++c) {
      Bytes64 low, high;
      split_products(panel.template line<j>(c), scale, Panel::kOffset, &low, &high);
      b_store(out.low[j * Panel::kGroupLines + c], low);
      b_store(out.high[j * Panel::kGroupLines + c], high);
    }
    expand_tiles<Panel, j + 1>(panel, out);
  }
}

template <class PanelType>
struct TileSteps256 {
  using Panel = PanelType;
  using Panels = Steps256<Panel>;
  using Lines = TileLines256;
  using Scales = TileScales256;
  using Waiting = Pending<const Scales*>;
  static constexpr TileShapes kShapes{64};
  static constexpr size_t kTokenBytes = 256;

  static void fill(const uint8_t* panel, size_t, size_t step, Lines& lines, Scales& scales) {
    const Panel source(panel + step * Panel::kBlockBytes);
    expand_tiles(source, lines);
    f_store(scales.d, source.d());
    if constexpr (!Panel::kHasMin) return;
    f_store(scales.dmin, source.dmin());
    for (int i = 0; i < Panel::kCorrections; ++i) i_store(scales.mins[i], source.correction(i));
  }

  static const Scales* scales_of(const Scales& scales, size_t) { return &scales; }

  // Pending results with the scales in registers: tile instructions hide from the compiler that the
  // memory does not change.
  struct Settler {
    const Waiting& pending;
    F32x16 d, dmin;
    I32x16 mins[8];

    explicit Settler(const Waiting& results)
        : pending(results), d(f_load(results.scales->d)), dmin(f_load(results.scales->dmin)) {
      if constexpr (Panel::kHasMin)
        for (int c = 0; c < Panel::kCorrections; ++c) mins[c] = i_load(results.scales->mins[c]);
    }

    // The float work of tokens [t, t + N).
    template <size_t N>
    void run(size_t t) const {
      constexpr size_t W = kTileTokens;
      const uint32_t* act = pending.act[t / W] + t % W;
      const int32_t* low = pending.sums + t / W * 2 * kTileSums + t % W * kPanelRows;
      const uint32_t* pair_sums = act + (Panel::kCorrections == 8 ? 68 : 64) * W;
      float* acc = pending.acc + t * kPanelRows;
      GM_UNROLL(4)
      for (size_t i = 0; i < N; ++i, low += kPanelRows, acc += kPanelRows) {
        const I32x16 sum = i_add(i_load(low), i_shl<7>(i_load(low + kTileSums)));
        const F32x16 da = f_broadcast(act + 76 * W + i);
        F32x16 total = f_fma(f_mul(d, da), f_from_i32(sum), f_load(acc));
        if constexpr (Panel::kHasMin) {
          I32x16 min_sum = i_zero();
          GM_UNROLL(8)
          for (int c = 0; c < Panel::kCorrections; ++c)
            min_sum =
                dot_s16(min_sum, mins[c], i_broadcast(pair_sums + static_cast<size_t>(c) * W + i));
          total = f_fnma(f_mul(dmin, da), f_from_i32(min_sum), total);
        }
        f_store(acc, total);
      }
    }
  };

  static void settle(const Waiting& pending) {
    const Settler settler(pending);
    settler.template run<kTileTokens>(0);
    settler.template run<kTileTokens>(kTileTokens);
  }

  template <bool kTwo>
  static void multiply(const Lines& w, const Scales& scales, size_t, size_t, const TilePass& pass,
                       Waiting* pending) {
    const auto* a0 = reinterpret_cast<const uint8_t*>(pass.act[0]);
    const auto* a1 = reinterpret_cast<const uint8_t*>(pass.act[1]);
    const Settler settler(*pending);
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kTwo) _tile_zero(2);
    if constexpr (kTwo) _tile_zero(3);
    for (size_t i = 0; i < 4; ++i) {
      const uint8_t* next = reinterpret_cast<const uint8_t*>(pass.next) + 64 * i;
      tiles_see_memory();
      _tile_loadd(4, a0 + 64 * i, kTokenBytes);
      _tile_loadd(6, w.low[16 * i], 64);
      _tile_dpbssd(0, 4, 6);
      settler.template run<2>(8 * i);
      fetch_tokens(next, 0);
      _tile_loadd(7, w.high[16 * i], 64);
      _tile_dpbssd(1, 4, 7);
      settler.template run<2>(8 * i + 2);
      fetch_tokens(next, 4);
      if constexpr (kTwo) _tile_loadd(5, a1 + 64 * i, kTokenBytes);
      if constexpr (kTwo) _tile_dpbssd(2, 5, 6);
      settler.template run<2>(8 * i + 4);
      fetch_tokens(next, 8);
      if constexpr (kTwo) _tile_dpbssd(3, 5, 7);
      settler.template run<2>(8 * i + 6);
      fetch_tokens(next, 12);
    }
    int32_t* results = pass.results[pending->sums == pass.results[0] ? 1 : 0];
    _tile_stored(0, results, 64);
    _tile_stored(1, results + kTileSums, 64);
    if constexpr (kTwo) _tile_stored(2, results + 2 * kTileSums, 64);
    if constexpr (kTwo) _tile_stored(3, results + 3 * kTileSums, 64);
    *pending = {&scales, {pass.act[0], pass.act[1]}, results, pass.acc};
  }

 private:
  // 64 bytes of tokens [t, t + 4) of the next pass: few at a time, a burst would stall on the
  // misses.
  static void fetch_tokens(const uint8_t* next, size_t t) {
    GM_UNROLL(4)
    for (size_t i = 0; i < 4; ++i) __builtin_prefetch(next + (t + i) * kTokenBytes);
  }
};

struct TileLines32 {
  alignas(64) uint8_t blocks[8][8][64];
};

struct TileScales32 {
  alignas(64) float d[8][16];
  alignas(64) float m[8][16];  // where the format has minima
};

template <class PanelType>
struct TileSteps32 {
  using Panel = PanelType;
  using Panels = Steps32<Panel>;
  using Lines = TileLines32;
  using Scales = TileScales32;
  using Waiting = Pending<const float*>;  // d [16] of the block; its m is behind it by
  static constexpr size_t kToMinima = 8 * kPanelRows;
  static constexpr TileShapes kShapes{32};
  static constexpr size_t kTokenBytes = 32;
  static constexpr size_t kBlock = kAct32Dwords * kTileTokens;

  static void fill(const uint8_t* panel, size_t K, size_t step, Lines& lines, Scales& scales) {
    for (size_t b = 0; b < Panels::blocks(K, step); ++b) {
      constexpr size_t kParts = Panels::kParts;
      const Panel source = Panels::block(panel, step, b / kParts * kParts, b % kParts);
      for (int c = 0; c < 8; ++c)
        b_store(lines.blocks[b][c], signed_weights(source.line(c), Panel::kOffset));
      f_store(scales.d[b], source.d());
      if constexpr (kHasMinima<Panel>) f_store(scales.m[b], source.m());
    }
  }

  static const float* scales_of(const Scales& scales, size_t b) { return scales.d[b]; }

  struct Settler {
    const Waiting& pending;
    F32x16 d, m;

    explicit Settler(const Waiting& results)
        : pending(results), d(f_load(results.scales)), m(f_load(results.scales + kToMinima)) {}

    template <size_t N>
    void run(size_t t) const {
      constexpr size_t W = kTileTokens;
      const uint32_t* d_act = pending.act[t / W] + 9 * W + t % W;
      const int32_t* sums = pending.sums + t / W * kTileSums + t % W * kPanelRows;
      float* acc = pending.acc + t * kPanelRows;
      GM_UNROLL(16)
      for (size_t i = 0; i < N; ++i, sums += kPanelRows, acc += kPanelRows) {
        F32x16 total =
            f_fma(f_mul(d, f_broadcast(d_act + i)), f_from_i32(i_load(sums)), f_load(acc));
        if constexpr (kHasMinima<Panel>) total = f_fma(m, f_broadcast(d_act + W + i), total);
        f_store(acc, total);
      }
    }
  };

  static void settle(const Waiting& pending) {
    const Settler settler(pending);
    settler.template run<kTileTokens>(0);
    settler.template run<kTileTokens>(kTileTokens);
  }

  template <bool kTwo>
  static void multiply(const Lines& w, const Scales& scales, size_t K, size_t step,
                       const TilePass& pass, Waiting* pending) {
    for (size_t b = 0; b < Panels::blocks(K, step); ++b) {
      const size_t at = b / Panels::kParts * kBlock;
      const uint32_t *a0 = pass.act[0] + at, *a1 = pass.act[1] + at;
      int32_t* results = pass.results[pending->sums == pass.results[0] ? 1 : 0];
      const Settler settler(*pending);
      tiles_see_memory();
      _tile_zero(0);
      _tile_loadd(4, a0, kTokenBytes);
      _tile_loadd(6, w.blocks[b], 64);
      _tile_dpbssd(0, 4, 6);
      if constexpr (kTwo) {
        _tile_zero(1);
        _tile_loadd(5, a1, kTokenBytes);
        _tile_dpbssd(1, 5, 6);
      }
      settler.template run<kTileTokens>(0);
      fetch_block(pass.next + at);
      _tile_stored(0, results, 64);
      settler.template run<kTileTokens>(kTileTokens);
      if constexpr (kTwo) _tile_stored(1, results + kTileSums, 64);
      *pending = {scales_of(scales, b), {a0, a1}, results, pass.acc};
    }
  }

 private:
  static void fetch_block(const uint32_t* next) {
    GM_UNROLL(11)
    for (size_t i = 0; i < kBlock; i += 16) __builtin_prefetch(next + i);
  }
};

// The steps of linear.inl.h -> the same on the matrix unit.
template <class Lines>
struct TileStepsOf;
template <class Panel>
struct TileStepsOf<Steps256<Panel>> {
  using Type = TileSteps256<Panel>;
};
template <class Panel>
struct TileStepsOf<Steps32<Panel>> {
  using Type = TileSteps32<Panel>;
};
template <class Lines>
using TileSteps = typename TileStepsOf<Lines>::Type;

// args.scratch: the lines of two panels; their scales twice (results of one step wait while the
// next begins); the results of two passes; a spare place; the f32 sums, for each panel [tokens +
// 16][16].
struct TileScratch {
  static constexpr size_t kLines = sizeof(TileLines256), kScales = sizeof(TileScales32);
  uint8_t *lines, *scales;
  int32_t* results;
  float *spare, *acc;
  explicit TileScratch(uint8_t* p)
      : lines(p),
        scales(lines + 2 * kLines),
        results(reinterpret_cast<int32_t*>(scales + 4 * kScales)),
        spare(reinterpret_cast<float*>(results + 2 * 4 * kTileSums)),
        acc(spare + kPassTokens * kPanelRows) {}
  static size_t acc_floats(size_t T) { return (T + kTileTokens) * kPanelRows; }
  static size_t bytes(size_t T) {
    static_assert(kLines >= sizeof(TileLines32) && kScales >= sizeof(TileScales256));
    return 2 * kLines + 4 * kScales +
           (2 * 4 * kTileSums + kPassTokens * kPanelRows + 2 * acc_floats(T)) * sizeof(float);
  }
};

// Where the rows of two panels go for the 32 tokens of a pass.
inline void fetch_output(const LinearArgs& args, size_t p, size_t t, size_t t1) {
  const size_t end = t + kPassTokens < t1 ? t + kPassTokens : t1;
  for (; t < end; ++t) {
    const float* out = args.out + t * args.out_stride + p * kPanelRows;
    __builtin_prefetch(out, 1);
    __builtin_prefetch(out + kPanelRows, 1);
  }
}

// Panels [p, p + P) for tokens [t0, t1), whole tiles. Two panels share the activations in L1.
template <class Steps, size_t P>
inline void panel_tiles(const LinearArgs& args, size_t p, size_t t0, size_t t1, size_t row_dwords) {
  using Panels = typename Steps::Panels;
  const TileScratch s(args.scratch);
  auto* lines = reinterpret_cast<typename Steps::Lines*>(s.lines);
  auto* scales = reinterpret_cast<typename Steps::Scales*>(s.scales);
  const size_t acc_stride = TileScratch::acc_floats(t1 - t0);
  std::memset(s.acc, 0, P * acc_stride * sizeof(float));
  const size_t panel_bytes = Panels::panel_bytes(args.K);
  const uint8_t* panel = args.panels + p * panel_bytes;
  const size_t stride = row_dwords * kTileTokens;  // dwords from tile to tile
  const size_t share = (Panels::kStepBytes * kPassTokens / (t1 - t0) + 64) / 64 * 64;
  // Nothing is pending yet: any results into the spare place.
  const uint32_t* act = args.act + t0 * row_dwords;
  typename Steps::Waiting pending{Steps::scales_of(scales[0], 0), {act, act}, s.results, s.spare};
  const size_t steps = Panels::count(args.K);
  for (size_t step = 0; step < steps; ++step) {
    auto* step_scales = scales + step % 2 * P;
    for (size_t i = 0; i < P; ++i)
      Steps::fill(panel + i * panel_bytes, args.K, step, lines[i], step_scales[i]);
    const uint8_t* ahead = panel + (step + 1) * Panels::kStepBytes;
    act = args.act + t0 * row_dwords + step * Panels::kActDwords * kTileTokens;
    for (size_t t = t0; t < t1; t += kPassTokens, act += 2 * stride, ahead += share) {
      const bool two = t + kPassTokens <= t1;
      for (size_t i = 0; i < P; ++i) {
        for (size_t b = 0; b < share; b += 64) __builtin_prefetch(ahead + i * panel_bytes + b);
        if (step + 1 == steps && i == 0) fetch_output(args, p, t, t1);
        const TilePass pass{{act, two ? act + stride : act},
                            act + (2 + i) * stride,
                            s.acc + i * acc_stride + (t - t0) * kPanelRows,
                            {s.results, s.results + 4 * kTileSums}};
        if (two) {
          Steps::template multiply<true>(lines[i], step_scales[i], args.K, step, pass, &pending);
        } else {
          Steps::template multiply<false>(lines[i], step_scales[i], args.K, step, pass, &pending);
        }
      }
    }
  }
  Steps::settle(pending);
  for (size_t i = 0; i < P; ++i) {
    for (size_t t = t0; t < t1; t += 4) {
      RegisterSums<1, 4> sums;
      sums.load({s.acc + i * acc_stride + (t - t0) * kPanelRows, 0});
      store_rows<4>(args, p + i, t, sums.v[0]);
    }
  }
}

// Panels [p0, p1) for the first T tokens, a multiple of 16.
template <class Steps>
inline void linear_tiles(const LinearArgs& args, size_t p0, size_t p1, size_t T,
                         size_t row_dwords) {
  static constexpr TileShapes kShapes = Steps::kShapes;
  _tile_loadconfig(&kShapes);
  size_t block = token_block(T, row_dwords);
  if (block < T) block = block / kPassTokens * kPassTokens;
  for (size_t t = 0; t < T; t += block) {
    const size_t end = t + block < T ? t + block : T;
    size_t p = p0;
    for (; p + 2 <= p1; p += 2) panel_tiles<Steps, 2>(args, p, t, end, row_dwords);
    if (p < p1) panel_tiles<Steps, 1>(args, p, t, end, row_dwords);
  }
  _tile_release();
}
