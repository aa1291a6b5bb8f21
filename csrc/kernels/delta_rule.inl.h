// SPDX-License-Identifier: MIT
// The gated delta rule, token after token. The state of a head is cut into blocks of 16 columns,
// which do not depend on each other: 8 KiB of a 128 x 128 matrix, which stay in L1 for some tokens,
// whose queries and keys stay in L2 for all blocks of the head. Sums over the rows of a block run
// in four chains (row mod 4), added as (0 + 1) + (2 + 3): one would wait for each addition.
inline constexpr size_t kDeltaChains = 4;
inline constexpr size_t kDeltaTokens = 64;

// x times factor over its length.
inline void normalise_length(float* x, size_t K, float eps, float factor) {
  const F32x16 scale = f_set1(factor / __builtin_sqrtf(sum_of_squares(x, K) + eps));
  size_t k = 0;
  for (; k + 16 <= K; k += 16) f_store(x + k, f_mul(f_load(x + k), scale));
  if (k < K) f_store_partial(x + k, K - k, f_mul(f_load_partial(x + k, K - k), scale));
}

void delta_prepare(const DeltaRuleArgs& args, size_t t0, size_t t1) noexcept {
  const float query_scale = 1.0f / __builtin_sqrtf(static_cast<float>(args.K));
  for (size_t t = t0; t < t1; ++t) {
    float* row = args.qkv + t * args.qkv_stride;
    for (size_t g = 0; g < 2 * args.G; ++g)
      normalise_length(row + g * args.K, args.K, args.eps, g < args.G ? query_scale : 1.0f);
    float* alpha = args.alpha + t * args.alpha_stride;
    float* beta = args.beta + t * args.beta_stride;
    for (size_t h = 0; h < args.H; h += 16) {
      const size_t n = args.H - h < 16 ? args.H - h : 16;
      const F32x16 step =
          f_softplus(f_add(f_load_partial(alpha + h, n), f_load_partial(args.shift + h, n)));
      f_store_partial(alpha + h, n, f_exp(f_mul(f_load_partial(args.rate + h, n), step)));
      f_store_partial(beta + h, n, f_sigmoid(f_load_partial(beta + h, n)));
    }
  }
}

inline F32x16 add_chains(const F32x16 (&sums)[kDeltaChains]) {
  return f_add(f_add(sums[0], sums[1]), f_add(sums[2], sums[3]));
}

// k S: what the state [K, 16] remembers under the key.
inline F32x16 delta_recall(const float* state, const float* key, size_t K) {
  F32x16 sums[kDeltaChains] = {f_zero(), f_zero(), f_zero(), f_zero()};
  size_t k = 0;
  for (; k + kDeltaChains <= K; k += kDeltaChains) {
    GM_UNROLL(4)
    for (size_t i = 0; i < kDeltaChains; ++i)
      sums[i] = f_fma(f_load(state + (k + i) * 16), f_set1(key[k + i]), sums[i]);
  }
  for (size_t i = 0; k + i < K; ++i)
    sums[i] = f_fma(f_load(state + (k + i) * 16), f_set1(key[k + i]), sums[i]);
  return add_chains(sums);
}

// S = decay * S + k (x) delta; returns q S.
inline F32x16 delta_update(float* state, const float* key, const float* query, size_t K,
                           F32x16 decay, F32x16 delta) {
  F32x16 sums[kDeltaChains] = {f_zero(), f_zero(), f_zero(), f_zero()};
  const auto row = [&](size_t k, F32x16& sum) {
    const F32x16 s = f_fma(f_set1(key[k]), delta, f_mul(f_load(state + k * 16), decay));
    f_store(state + k * 16, s);
    sum = f_fma(s, f_set1(query[k]), sum);
  };
  size_t k = 0;
  for (; k + kDeltaChains <= K; k += kDeltaChains) {
    GM_UNROLL(4)
    for (size_t i = 0; i < kDeltaChains; ++i) row(k + i, sums[i]);
  }
  for (size_t i = 0; k + i < K; ++i) row(k + i, sums[i]);
  return add_chains(sums);
}

// Tokens [t0, t1) of block b of all heads' blocks.
inline void delta_block(const DeltaRuleArgs& args, size_t b, size_t t0, size_t t1) {
  const size_t blocks = delta_blocks(args.V), K = args.K, GK = args.G * K;
  const size_t h = b / blocks, column = b % blocks * 16;
  const size_t n = args.V - column < 16 ? args.V - column : 16;
  float* state = args.state + b * K * 16;
  for (size_t t = t0; t < t1; ++t) {
    const float* query = args.qkv + t * args.qkv_stride + h % args.G * K;
    const float* key = query + GK;
    const float* value = args.qkv + t * args.qkv_stride + 2 * GK + h * args.V + column;
    const F32x16 decay = f_set1(args.alpha[t * args.alpha_stride + h]);
    const F32x16 recalled = f_mul(decay, delta_recall(state, key, K));
    const F32x16 delta =
        f_mul(f_sub(load_lanes(value, n), recalled), f_set1(args.beta[t * args.beta_stride + h]));
    store_lanes(args.out + t * args.out_stride + h * args.V + column, n,
                delta_update(state, key, query, K, decay, delta));
  }
}

void delta_rule(const DeltaRuleArgs& args, size_t b0, size_t b1) noexcept {
  for (size_t t = 0; t < args.T; t += kDeltaTokens) {
    const size_t end = args.T - t < kDeltaTokens ? args.T : t + kDeltaTokens;
    for (size_t b = b0; b < b1; ++b) delta_block(args, b, t, end);
  }
}
