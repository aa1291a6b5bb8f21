// SPDX-License-Identifier: MIT
// silu(gate) * up, and its activation tiles.
inline void swiglu_row(const float* gate, const float* up, size_t K, float* y) {
  size_t k = 0;
  for (; k + 16 <= K; k += 16) f_store(y + k, f_mul(f_silu(f_load(gate + k)), f_load(up + k)));
  if (k < K) {
    const F32x16 g = f_silu(f_load_partial(gate + k, K - k));
    f_store_partial(y + k, K - k, f_mul(g, f_load_partial(up + k, K - k)));
  }
}

void swiglu(const SwigluArgs& args, size_t tile0, size_t tile1) noexcept {
  emit_tiles(args.quant, tile0, tile1, [&](size_t t) -> const float* {
    swiglu_row(args.quant.x + t * args.quant.stride, args.up + t * args.up_stride, args.quant.K,
               args.row);
    return args.row;
  });
}
