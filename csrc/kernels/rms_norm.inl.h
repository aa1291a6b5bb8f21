// SPDX-License-Identifier: MIT
// y = x / sqrt(mean(x^2) + eps) * weight, and its activation tiles in the same pass over the cache;
// or y is added to what is there.
// The sum of squares runs over 16 virtual lanes (k mod 16), reduced by the fixed tree.
inline float sum_of_squares(const float* x, size_t K) {
  F32x16 squares = f_zero();
  size_t k = 0;
  for (; k + 16 <= K; k += 16) squares = f_fma(f_load(x + k), f_load(x + k), squares);
  if (k < K) {
    const F32x16 tail = f_load_partial(x + k, K - k);
    squares = f_fma(tail, tail, squares);
  }
  return f_reduce_add(squares);
}

inline void rms_norm_row(const float* x, const float* weight, float eps, size_t K, float* y) {
  const float mean = sum_of_squares(x, K) / static_cast<float>(K);
  const F32x16 scale = f_set1(1.0f / __builtin_sqrtf(mean + eps));
  size_t k = 0;
  for (; k + 16 <= K; k += 16)
    f_store(y + k, f_mul(f_mul(f_load(x + k), scale), f_load(weight + k)));
  if (k < K) {
    const F32x16 tail = f_mul(f_load_partial(x + k, K - k), scale);
    f_store_partial(y + k, K - k, f_mul(tail, f_load_partial(weight + k, K - k)));
  }
}

void rms_norm(const RmsNormArgs& args, size_t tile0, size_t tile1) noexcept {
  const size_t K = args.quant.K;
  const size_t length = K / args.heads;
  emit_tiles(args.quant, tile0, tile1, [&](size_t t) -> const float* {
    float* out = args.out != nullptr ? args.out + t * args.out_stride : args.row;
    float* y = args.accumulate ? args.row : out;
    const float* x = args.quant.x + t * args.quant.stride;
    for (size_t k = 0; k < K; k += length)
      rms_norm_row(x + k, args.weight, args.eps, length, y + k);
    for (size_t k = 0; args.accumulate && k < K; ++k) out[k] += y[k];
    return y;
  });
}
