// SPDX-License-Identifier: MIT
// The measures that every other speed is compared with: the INT8 and f32 multiply-accumulate rates
// of the instructions that the kernels use, and sequential reading. `sink` receives the sums so
// that nothing can be dropped.

inline constexpr int kBurnChains = kRegisterTokens >= 12 ? 12 : 6;

// Chains that begin alike would be merged.
struct BurnStart {
  alignas(64) uint32_t lanes[kBurnChains][16];
  explicit BurnStart(uint32_t first) {
    for (size_t i = 0; i < kBurnChains * 16; ++i)
      lanes[i / 16][i % 16] = first + static_cast<uint32_t>(i);
  }
  I32x16 operator[](int chain) const { return i_load(lanes[chain]); }
};

inline void sink_lanes(I32x16 sums, uint32_t* sink) {
  alignas(64) uint32_t lanes[16];
  i_store(lanes, sums);
  for (const uint32_t lane : lanes) *sink += lane;
}

#ifdef GM_MATRIX_UNIT
// Tile products into four results from registers.
size_t int8_burn(size_t rounds, uint32_t* sink) noexcept {
  static constexpr TileShapes kShapes{64};
  alignas(64) uint32_t results[kTileTokens * kPanelRows] = {};
  _tile_loadconfig(&kShapes);
  tiles_see_memory();
  _tile_loadd(4, results, 64);
  _tile_loadd(5, results, 64);
  _tile_loadd(6, results, 64);
  _tile_loadd(7, results, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (size_t n = 0; n < rounds; n += 4) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_stored(0, results, 64);
  tiles_see_memory();
  _tile_release();
  *sink += results[0];
  return (rounds + 3) / 4 * 4 * kTileTokens * kPanelRows * 64;
}
#else
// The best mix of instructions that the level has. With a dot product instruction that is all there
// is; without, it is what 4-bit weights need: 8 maddubs added in int16, one madd, one addition, on
// operands that are loaded as a kernel must, and a tile that fits the registers. Returns the
// multiply-accumulates done.
size_t int8_burn(size_t rounds, uint32_t* sink) noexcept {
  constexpr int P = kStepProducts == 2 ? kPanelPair : 1;
  constexpr int N = kStepProducts == 4 ? kBurnChains : P == 2 ? 6 : 3;
  IntSums<P, N> sums;
  const BurnStart start(*sink);
  GM_TILE(sums.v[i][t] = start[i * N + t]);
  if constexpr (kStepProducts == 4) {
    const Bytes64 w = b_set1(3);
    const I32x16 a = i_set1(0x01020304);
    for (size_t n = 0; n < rounds; ++n) GM_TILE(sums.v[i][t] = dot_step(sums.v[i][t], w, a));
  } else {
    alignas(64) uint8_t lines[P][8][64];
    uint32_t act[8 * N];
    std::memset(lines, 3, sizeof lines);
    std::memset(act, 1, sizeof act);
    rounds = (rounds + 7) / 8 * 8;
    for (size_t n = 0; n < rounds; n += 8) {
      forget_loads(lines);  // else the products would be hoisted
      forget_loads(act);
      add_run<DotShape<15, 8>, N>([&](int i, int c) { return b_load(lines[i][c]); },
                                  [&](int i) { return i_load(lines[i]); }, act, sums);
    }
  }
  GM_TILE(sink_lanes(sums.v[i][t], sink));
  return rounds * P * N * 64;
}
#endif

// 12 (or 6) independent chains of f32 FMA. Returns the multiply-accumulates done.
size_t float_burn(size_t rounds, uint32_t* sink) noexcept {
  F32x16 sums[kBurnChains];
  const BurnStart start(*sink);
  for (int t = 0; t < kBurnChains; ++t) sums[t] = f_from_i32(start[t]);
  const F32x16 a = f_set1(0.5f), b = f_set1(0.25f);
  for (size_t n = 0; n < rounds; ++n) {
    GM_UNROLL(12)
    for (int t = 0; t < kBurnChains; ++t) sums[t] = f_fma(sums[t], a, b);
  }
  for (const F32x16& sum : sums) sink_lanes(i_bits(sum), sink);
  return rounds * kBurnChains * 16;
}

// Reads `bytes` (a multiple of 256) once and returns a value that depends on all of them. Fetches
// ahead as the kernels do: hardware prefetchers stop at page borders.
inline constexpr size_t kStreamAhead = 3072;

uint32_t read_stream(const uint8_t* p, size_t bytes) noexcept {
  I32x16 acc[4] = {i_zero(), i_zero(), i_zero(), i_zero()};
  for (size_t i = 0; i < bytes; i += 256) {
    GM_UNROLL(4)
    for (size_t j = 0; j < 4; ++j) {
      __builtin_prefetch(p + i + 64 * j + kStreamAhead);
      acc[j] = i_add(acc[j], i_load(p + i + 64 * j));
    }
  }
  alignas(64) int32_t lanes[16];
  i_store(lanes, i_add(i_add(acc[0], acc[1]), i_add(acc[2], acc[3])));
  uint32_t sum = 0;
  for (const int32_t lane : lanes) sum += static_cast<uint32_t>(lane);
  return sum;
}
