// SPDX-License-Identifier: MIT
// activation(gate) * up, or activation(gate) alone, and its activation tiles.
// x / (1 + e^-1.702x) of x up to 7.
inline F32x16 f_swish_below_7(F32x16 x) {
  x = f_min(x, f_set1(7.0f));
  return f_div(x, f_add(f_set1(1.0f), f_exp(f_mul(x, f_set1(-1.702f)))));
}

template <Activation kind>
inline F32x16 activate(F32x16 x) {
  if constexpr (kind == Activation::Silu) return f_silu(x);
  if constexpr (kind == Activation::GeluTanh) return f_gelu_tanh(x);
  if constexpr (kind == Activation::Gelu) return f_gelu(x);
  if constexpr (kind == Activation::SwigluOai) return f_swish_below_7(x);
  if constexpr (kind == Activation::Tanh) return f_tanh(x);
  if constexpr (kind == Activation::Sigmoid) return f_sigmoid(x);
  return x;
}

template <Activation kind>
inline F32x16 gated(F32x16 gate, F32x16 up) {
  if constexpr (kind == Activation::SwigluOai) {
    const F32x16 limit = f_set1(7.0f);
    up = f_add(f_max(f_min(up, limit), f_sub(f_zero(), limit)), f_set1(1.0f));
  }
  return f_mul(activate<kind>(gate), up);
}

template <Activation kind>
inline void glu_row(const float* gate, const float* up, size_t K, float* y) {
  size_t k = 0;
  for (; k + 16 <= K; k += 16) f_store(y + k, gated<kind>(f_load(gate + k), f_load(up + k)));
  if (k < K) {
    const F32x16 rest = f_load_partial(up + k, K - k);
    f_store_partial(y + k, K - k, gated<kind>(f_load_partial(gate + k, K - k), rest));
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
