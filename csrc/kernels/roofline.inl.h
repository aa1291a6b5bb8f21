// SPDX-License-Identifier: MIT
// The two measures that every other speed is compared with: the INT8 multiply-accumulate rate of
// the instruction that the kernels use, and sequential reading.

// Runs `rounds` rounds of 12 independent dot products and returns the multiply-accumulates done.
// `sink` receives the sums so that nothing can be dropped.
size_t int8_burn(size_t rounds, uint32_t* sink) noexcept {
  constexpr int kChains = kMaxTile >= 12 ? 12 : 6;
  I32x16 acc[kChains];
  GM_UNROLL(12)
  for (int i = 0; i < kChains; ++i) acc[i] = i_set1(i);
  const Bytes64 w = b_set1(3);
  const I32x16 a = i_set1(0x01020304);
  for (size_t n = 0; n < rounds; ++n) {
    GM_UNROLL(12)
    for (int i = 0; i < kChains; ++i) acc[i] = dot_u8(acc[i], w, a);
  }
  I32x16 total = i_zero();
  GM_UNROLL(12)
  for (int i = 0; i < kChains; ++i) total = i_add(total, acc[i]);
  alignas(64) int32_t lanes[16];
  i_store(lanes, total);
  *sink += static_cast<uint32_t>(lanes[0]);
  return rounds * kChains * 64;
}

// Reads `bytes` (a multiple of 256) once and returns a value that depends on all of them.
uint32_t read_stream(const uint8_t* p, size_t bytes) noexcept {
  I32x16 acc[4] = {i_zero(), i_zero(), i_zero(), i_zero()};
  for (size_t i = 0; i < bytes; i += 256) {
    GM_UNROLL(4)
    for (size_t j = 0; j < 4; ++j) acc[j] = i_add(acc[j], i_load(p + i + 64 * j));
  }
  alignas(64) int32_t lanes[16];
  i_store(lanes, i_add(i_add(acc[0], acc[1]), i_add(acc[2], acc[3])));
  uint32_t sum = 0;
  for (const int32_t lane : lanes) sum += static_cast<uint32_t>(lane);
  return sum;
}
