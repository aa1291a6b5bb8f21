// SPDX-License-Identifier: MIT
// f32 activations -> tiles (formats/activation.h): one scale per 32 or 256 values, exact sums.
// A row is quantized into small local arrays, then scattered to its column of the tile.

// q = rne(x * 127 / absmax) for n values (a multiple of 16) and returns d = absmax / 127. A block
// whose absmax is denormal-small or not finite enough to invert becomes zeros.
inline float quantize_block(const float* x, size_t n, int8_t* q) {
  F32x16 best = f_abs(f_load(x));
  for (size_t i = 16; i < n; i += 16) best = f_max(best, f_abs(f_load(x + i)));
  const float absmax = f_reduce_max(best);
  if (!(absmax >= 1e-30f && absmax <= 3e38f)) {
    std::memset(q, 0, n);
    return 0.0f;
  }
  const F32x16 inverse = f_set1(127.0f / absmax);
  for (size_t i = 0; i < n; i += 16)  // the low byte of the sum is the two's complement integer
    i_store_s8(q + i, i_bits(f_fma(f_load(x + i), inverse, f_set1(kRoundMagic))));
  return absmax / 127.0f;
}

inline uint32_t int16_pair(int low, int high) {
  return (static_cast<uint32_t>(low) & 0xffffu) | (static_cast<uint32_t>(high) << 16);
}

// The n quantized values of token `column` into a block of a tile of w.
inline void put_values(const int8_t* q, size_t n, uint32_t* block, size_t w, size_t column) {
  if (w == kTokenMajorTile) {
    std::memcpy(block + n / 4 * column, q, n);
    return;
  }
  for (size_t i = 0; i < n / 4; ++i) std::memcpy(block + i * w + column, q + 4 * i, 4);
}

// Token `column` of a tile of width w; out is the tile.
inline void quantize_row_32(const float* x, size_t K, uint32_t* out, size_t w, size_t column) {
  for (size_t b = 0; b < K / 32; ++b) {
    alignas(64) int8_t q[64] = {};
    alignas(64) int32_t quads[16];
    const float d = quantize_block(x + 32 * b, 32, q);
    i_store(quads, quad_sums(i_load(q)));
    int sum = 0;
    for (size_t i = 0; i < 8; ++i) sum += quads[i];
    uint32_t* block = out + b * kAct32Dwords * w;
    put_values(q, 32, block, w, column);
    block += column;
    block[8 * w] = static_cast<uint32_t>(-128 * sum);
    block[9 * w] = __builtin_bit_cast(uint32_t, d);
    block[10 * w] = __builtin_bit_cast(uint32_t, d* static_cast<float>(sum));
  }
}

inline void quantize_row_256(const float* x, size_t K, uint32_t* out, size_t w, size_t column) {
  for (size_t b = 0; b < K / 256; ++b) {
    alignas(64) int8_t q[256];
    const float d = quantize_block(x + 256 * b, 256, q);
    uint32_t* block = out + b * kAct256Dwords * w;
    put_values(q, 256, block, w, column);
    block += column;
    alignas(64) int32_t quads[64];
    for (size_t i = 0; i < 4; ++i) i_store(quads + 16 * i, quad_sums(i_load(q + 64 * i)));
    int sums[16];
    for (size_t i = 0; i < 16; ++i)
      sums[i] = quads[4 * i] + quads[4 * i + 1] + quads[4 * i + 2] + quads[4 * i + 3];
    for (size_t i = 0; i < 4; ++i)
      block[(64 + i) * w] =
          int16_pair(sums[4 * i] + sums[4 * i + 1], sums[4 * i + 2] + sums[4 * i + 3]);
    for (size_t i = 0; i < 8; ++i) block[(68 + i) * w] = int16_pair(sums[2 * i], sums[2 * i + 1]);
    block[76 * w] = __builtin_bit_cast(uint32_t, d);
  }
}

// Every wanted kind of one token's row.
inline void emit_row(const QuantizeArgs& args, const float* x, size_t t0, size_t w, size_t column) {
  const auto tile = [&](ActKind kind) {
    uint32_t* act = args.act[static_cast<size_t>(kind)];
    return act == nullptr ? nullptr : act + t0 * act_dwords(kind, args.K);
  };
  if (uint32_t* out = tile(ActKind::F32))
    for (size_t k = 0; k < args.K; ++k) std::memcpy(out + k * w + column, x + k, 4);
  if (uint32_t* out = tile(ActKind::Q8_32)) quantize_row_32(x, args.K, out, w, column);
  if (uint32_t* out = tile(ActKind::Q8_256)) quantize_row_256(x, args.K, out, w, column);
}

// Walks the tokens of tiles [tile0, tile1): f(t) gives the row of token t.
template <class Row>
inline void emit_tiles(const QuantizeArgs& args, size_t tile0, size_t tile1, Row&& row) {
  size_t t = 0;
  for (size_t tile = 0; tile < tile1 && t < args.T; ++tile) {
    const size_t w = tile_width(args.T - t, kMaxTile);
    for (size_t i = 0; tile >= tile0 && i < w; ++i) emit_row(args, row(t + i), t, w, i);
    t += w;
  }
}

void quantize(const QuantizeArgs& args, size_t tile0, size_t tile1) noexcept {
  emit_tiles(args, tile0, tile1, [&](size_t t) { return args.x + t * args.stride; });
}
