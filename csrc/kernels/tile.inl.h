// SPDX-License-Identifier: MIT
// Register tiles: N tokens x P panels of 16 rows, and where their running f32 sums live.

// The widest tile whose tokens lie side by side.
inline constexpr size_t kLineTile = kMaxTile == kTokenMajorTile ? 8 : kMaxTile;
// Tokens times panels whose sums fit the registers.
inline constexpr int kRegisterTokens = kMaxTile == kTokenMajorTile ? 12 : kMaxTile;

// For every (panel i, token t) of a tile with P and N in scope.
#define GM_TILE(...)              \
  GM_UNROLL(2)                    \
  for (int i = 0; i < P; ++i) {   \
    GM_UNROLL(12)                 \
    for (int t = 0; t < N; ++t) { \
      __VA_ARGS__;                \
    }                             \
  }

// [P][.., 16] f32 in the scratch: sums of panel i begin at p + i * panel_stride.
struct ScratchSums {
  float* p;
  size_t panel_stride;
  F32x16 get(int i, int t) const {
    return f_load(p + static_cast<size_t>(i) * panel_stride + 16 * t);
  }
  void set(int i, int t, F32x16 x) {
    f_store(p + static_cast<size_t>(i) * panel_stride + 16 * t, x);
  }
};

template <int P, int N>
struct RegisterSums {
  F32x16 v[P][N];
  F32x16 get(int i, int t) const { return v[i][t]; }
  void set(int i, int t, F32x16 x) { v[i][t] = x; }
  void clear() { GM_TILE(v[i][t] = f_zero()); }
  void load(const ScratchSums& sums) { GM_TILE(v[i][t] = sums.get(i, t)); }
  void store(ScratchSums sums) const { GM_TILE(sums.set(i, t, v[i][t])); }
};

// Writes the 16 rows of panel p for N tokens, clipped to the rows that exist. A scale of 1 and no
// bias change no bit.
template <int N>
inline void store_rows(const LinearArgs& args, size_t p, size_t t0, const F32x16 (&acc)[N]) {
  const size_t row = p * kPanelRows;
  const size_t n = args.rows - row < kPanelRows ? args.rows - row : kPanelRows;
  const F32x16 scale = f_set1(args.scale);
  const F32x16 bias = args.bias != nullptr ? f_load_partial(args.bias + row, n) : f_zero();
  GM_UNROLL(12)
  for (int t = 0; t < N; ++t) {
    float* out = args.out + (t0 + static_cast<size_t>(t)) * args.out_stride + row;
    const F32x16 sum = args.bias != nullptr ? f_add(acc[t], bias) : acc[t];
    const F32x16 y = f_mul(sum, scale);
    if (n == kPanelRows) {
      f_store(out, args.accumulate ? f_add(f_load(out), y) : y);
    } else {
      f_store_partial(out, n, args.accumulate ? f_add(f_load_partial(out, n), y) : y);
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
      if constexpr (kWidest == 12) return f.template run<12>();
      if constexpr (kWidest == 16) return f.template run<16>();
  }
}

// Tokens whose activations (and running sums) stay in L2 while the panels of a chunk of work pass.
// CPUs with a matrix unit have 2 MiB of L2, and expanding a panel costs them relatively more.
inline constexpr size_t kActBlockBytes = (kTokenMajorTile != 0 ? 1408 : 768) * 1024;
inline constexpr size_t kMinTokenBlock = 4 * 12;  // below it, expanding the panel would dominate

inline size_t token_block(size_t T, size_t row_dwords) {
  const size_t fit = kActBlockBytes / (row_dwords * 4) / kMaxTile * kMaxTile;
  const size_t block = fit > kMinTokenBlock ? fit : kMinTokenBlock;
  return T < block ? T : block;
}
