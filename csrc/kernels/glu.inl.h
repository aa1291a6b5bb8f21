// SPDX-License-Identifier: MIT
// activation(gate) * up, and its activation tiles.
template <Activation kind>
inline F32x16 activate(F32x16 x) {
  return kind == Activation::Silu ? f_silu(x) : f_gelu_tanh(x);
}

template <Activation kind>
inline void glu_row(const float* gate, const float* up, size_t K, float* y) {
  size_t k = 0;
  for (; k + 16 <= K; k += 16)
    f_store(y + k, f_mul(activate<kind>(f_load(gate + k)), f_load(up + k)));
  if (k < K) {
    const F32x16 g = activate<kind>(f_load_partial(gate + k, K - k));
    f_store_partial(y + k, K - k, f_mul(g, f_load_partial(up + k, K - k)));
  }
}

template <Activation kind>
void glu(const GluArgs& args, size_t tile0, size_t tile1) noexcept {
  emit_tiles(args.quant, tile0, tile1, [&](size_t t) -> const float* {
    glu_row<kind>(args.quant.x + t * args.quant.stride, args.up + t * args.up_stride, args.quant.K,
                  args.row);
    return args.row;
  });
}
