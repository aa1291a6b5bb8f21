// SPDX-License-Identifier: MIT
// y = (x - mean) / sqrt(variance + eps) * weight + bias, and its activation tiles. Both sums run
// over 16 virtual lanes (k mod 16), reduced by the fixed tree; the variance is that of the
// differences, which cancels nothing.
inline void layer_norm_row(const LayerNormArgs& args, const float* x, size_t K, float* y) {
  const size_t whole = K / 16 * 16, rest = K - whole;
  F32x16 total = f_zero();
  for (size_t k = 0; k < whole; k += 16) total = f_add(total, f_load(x + k));
  if (rest != 0) total = f_add(total, f_load_partial(x + whole, rest));
  const F32x16 mean = f_set1(f_reduce_add(total) / static_cast<float>(K));

  F32x16 squares = f_zero();
  for (size_t k = 0; k < whole; k += 16) {
    const F32x16 d = f_sub(f_load(x + k), mean);
    f_store(y + k, d);
    squares = f_fma(d, d, squares);
  }
  if (rest != 0) {  // through memory: the lanes beyond the row are to be 0, not -mean
    f_store_partial(y + whole, rest, f_sub(f_load_partial(x + whole, rest), mean));
    const F32x16 d = f_load_partial(y + whole, rest);
    squares = f_fma(d, d, squares);
  }
  const float variance = f_reduce_add(squares) / static_cast<float>(K);
  const F32x16 scale = f_set1(1.0f / __builtin_sqrtf(variance + args.eps));
  const auto finish = [&](F32x16 d, F32x16 weight, F32x16 bias) {
    return f_fma(f_mul(d, scale), weight, bias);
  };
  const float *w = args.weight, *b = args.bias;
  for (size_t k = 0; k < whole; k += 16)
    f_store(y + k, finish(f_load(y + k), f_load(w + k), b != nullptr ? f_load(b + k) : f_zero()));
  if (rest == 0) return;
  const F32x16 bias = b != nullptr ? f_load_partial(b + whole, rest) : f_zero();
  f_store_partial(y + whole, rest,
                  finish(f_load_partial(y + whole, rest), f_load_partial(w + whole, rest), bias));
}

void layer_norm(const LayerNormArgs& args, size_t tile0, size_t tile1) noexcept {
  emit_tiles(args.quant, tile0, tile1, [&](size_t t) -> const float* {
    float* y = args.out != nullptr ? args.out + t * args.out_stride : args.row;
    layer_norm_row(args, args.quant.x + t * args.quant.stride, args.quant.K, y);
    return y;
  });
}
