// SPDX-License-Identifier: MIT
// One pass over a row of logits: for each block of 128 its best value and the sum of e^(x - best).
// Sampling needs no more than that of the vocabulary: the blocks' maxima bound the n-th best logit
// and the sums combine to the logsumexp. NaN never wins and adds nothing.

// Not zero but e^-87 for what is further below, and for NaN: nothing beside the best one's 1.
inline F32x16 exp_of_difference(F32x16 x, F32x16 best) {
  return f_exp_in_range(f_max(f_sub(x, best), f_set1(kLowestExp)));
}

inline void logit_block(const float* x, float* best, float* sum) {
  constexpr int kVectors = kLogitBlock / 16;
  F32x16 top = f_set1(-__builtin_inff());
  GM_UNROLL(8)
  for (int i = 0; i < kVectors; ++i) top = f_max(f_load(x + 16 * i), top);  // top if x is NaN
  *best = f_reduce_max(top);
  const F32x16 reference = f_set1(*best);
  F32x16 terms[kVectors];
  GM_UNROLL(8)
  for (int i = 0; i < kVectors; ++i) terms[i] = exp_of_difference(f_load(x + 16 * i), reference);
  GM_UNROLL(3)
  for (int width = kVectors / 2; width > 0; width /= 2) {
    GM_UNROLL(4)
    for (int i = 0; i < width; ++i) terms[i] = f_add(terms[i], terms[i + width]);
  }
  *sum = f_reduce_add(terms[0]);
}

void soft_cap(float* x, size_t n, float cap) noexcept {
  const F32x16 factor = f_set1(cap), inverse = f_set1(1.0f / cap);
  for (size_t i = 0; i < n; i += 16) {
    const size_t lanes = n - i < 16 ? n - i : 16;
    const F32x16 value = f_tanh(f_mul(f_load_partial(x + i, lanes), inverse));
    f_store_partial(x + i, lanes, f_mul(factor, value));
  }
}

void logit_blocks(const float* x, size_t n, float* best, float* sum) noexcept {
  for (; n >= kLogitBlock; n -= kLogitBlock, x += kLogitBlock) logit_block(x, best++, sum++);
  if (n == 0) return;
  float rest[kLogitBlock];
  for (size_t i = 0; i < kLogitBlock; ++i) rest[i] = i < n ? x[i] : -__builtin_inff();
  logit_block(rest, best, sum);
}

// The lanes are added in double, block after block: one order, and no digits lost.
double logit_mass(const float* best, const float* sum, size_t blocks, float top) noexcept {
  double total = 0;
  for (size_t b = 0; b < blocks; b += 16) {
    const size_t lanes = blocks - b < 16 ? blocks - b : 16;
    const F32x16 weight = exp_of_difference(f_load_partial(best + b, lanes), f_set1(top));
    float terms[16];
    f_store(terms, f_mul(weight, f_load_partial(sum + b, lanes)));
    for (size_t i = 0; i < lanes; ++i) total += static_cast<double>(terms[i]);
  }
  return total;
}
