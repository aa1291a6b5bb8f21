// SPDX-License-Identifier: MIT
// activation(gate) * up, or activation(gate) alone, and its activation tiles.
template <Activation kind>
inline F32x16 activate(F32x16 x) {
  if constexpr (kind == Activation::Silu) return f_silu(x);
  if constexpr (kind == Activation::GeluTanh) return f_gelu_tanh(x);
  if constexpr (kind == Activation::Gelu) return f_gelu(x);
  return f_tanh(x);
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
inline void activate_row(const float* x, size_t K, float* y) {
  size_t k = 0;
  for (; k + 16 <= K; k += 16) f_store(y + k, activate<kind>(f_load(x + k)));
  if (k < K) f_store_partial(y + k, K - k, activate<kind>(f_load_partial(x + k, K - k)));
}

template <Activation kind>
void glu(const GluArgs& args, size_t tile0, size_t tile1) noexcept {
  emit_tiles(args.quant, tile0, tile1, [&](size_t t) -> const float* {
    const float* gate = args.quant.x + t * args.quant.stride;
    if (args.up != nullptr) {
      glu_row<kind>(gate, args.up + t * args.up_stride, args.quant.K, args.row);
    } else {
      activate_row<kind>(gate, args.quant.K, args.row);
    }
    return args.row;
  });
}
