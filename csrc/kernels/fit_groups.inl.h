// SPDX-License-Identifier: MIT
// The quantizer's searches, one group of values that share a scale at a time. A lane is a row:
// value i of 16 rows lies at x + 16 i, its weight at w + 16 i, and each row goes its own way by
// selects. The error of a group is the sum of w (x - x')^2.

inline F32x16 fit_inverse(F32x16 a) {  // 0 where 1 / a would not be finite
  return f_zero_below(f_abs(a), f_set1(1e-30f), f_div(f_set1(1.0f), a));
}

// -- what codes stand for, before the scale
template <int Low, int High>
struct Integers {
  static constexpr float kLow = Low, kHigh = High;
  static F32x16 nearest(F32x16 x) {  // NaN gives kLow
    const F32x16 inside = f_min(f_max(x, f_set1(kLow)), f_set1(kHigh));
    return f_sub(f_add(inside, f_set1(kRoundMagic)), f_set1(kRoundMagic));
  }
  static uint8_t code(float value) { return static_cast<uint8_t>(static_cast<int>(value) - Low); }
};

// n rising values; code_of turns the number of one into its code.
template <size_t n>
struct Rising {
  float values[n];
  uint8_t codes[n];
};

constexpr Rising<16> rising_iq4() {
  Rising<16> r{};
  for (size_t i = 0; i < 16; ++i) {
    r.values[i] = kIq4Values[i];
    r.codes[i] = static_cast<uint8_t>(i);
  }
  return r;
}

constexpr Rising<15> rising_mxfp4() {  // without -0
  Rising<15> r{};
  for (size_t i = 0; i < 15; ++i) {
    r.codes[i] = static_cast<uint8_t>(i < 7 ? 15 - i : i - 7);
    r.values[i] = kMxfp4Values[r.codes[i]];
  }
  return r;
}

template <const auto& table, size_t n>
struct FromTable {
  static constexpr float kLow = table.values[0], kHigh = table.values[n - 1];
  static F32x16 nearest(F32x16 x) {
    F32x16 best = f_set1(kLow);
    for (size_t i = 1; i < n; ++i) {
      const float middle = (table.values[i - 1] + table.values[i]) / 2;
      best = f_pick_below(x, f_set1(middle), best, f_set1(table.values[i]));
    }
    return best;
  }
  static uint8_t code(float value) {
    size_t i = 0;
    while (i + 1 < n && table.values[i] < value) ++i;
    return table.codes[i];
  }
};

static constexpr Rising<16> kRisingIq4 = rising_iq4();
static constexpr Rising<15> kRisingMxfp4 = rising_mxfp4();
using Iq4Values = FromTable<kRisingIq4, 16>;
using Mxfp4Values = FromTable<kRisingMxfp4, 15>;

struct SignBits {
  static constexpr float kLow = -1.0f, kHigh = 1.0f;
  static F32x16 nearest(F32x16 x) { return f_pick_below(x, f_zero(), f_set1(-1.0f), f_set1(1.0f)); }
  static uint8_t code(float value) { return value > 0.0f; }
};

// -- x' = scale * value
struct ScaleFit {
  F32x16 scale, gain;  // gain: by how much the error is below that of zeros
};

// Codes at this inverse of a scale, and the best scale for these codes.
template <class Values>
inline void try_scale(const float* x, const float* w, size_t n, F32x16 inverse, ScaleFit& best) {
  F32x16 qx = f_zero(), qq = f_zero();
  for (size_t i = 0; i < 16 * n; i += 16) {
    const F32x16 v = f_load(x + i);
    const F32x16 q = Values::nearest(f_mul(v, inverse));
    const F32x16 wq = f_mul(f_load(w + i), q);
    qx = f_fma(wq, v, qx);
    qq = f_fma(wq, q, qq);
  }
  const F32x16 scale = f_mul(qx, fit_inverse(qq)), gain = f_mul(scale, qx);
  best.scale = f_pick_below(best.gain, gain, scale, best.scale);
  best.gain = f_pick_below(best.gain, gain, gain, best.gain);
}

// The value of largest magnitude of each row.
inline F32x16 extreme_of(const float* x, size_t n) {
  F32x16 best = f_zero();
  for (size_t i = 0; i < 16 * n; i += 16) {
    const F32x16 v = f_load(x + i);
    best = f_pick_below(f_abs(best), f_abs(v), v, best);
  }
  return best;
}

// The extreme value goes to either end of the codes, a little inside, or beyond, where it is cut
// off; then scale and codes are fitted to each other.
template <class Values>
inline F32x16 fit_scale(const float* x, const float* w, size_t n) {
  constexpr int kTries = Values::kHigh > 100 ? 12 : 28;
  constexpr float kFirst = Values::kHigh > 100 ? 0.97f : Values::kHigh > 1 ? 0.86f : 0.5f;
  constexpr float kStep = Values::kHigh > 100 ? 1.006f : Values::kHigh > 1 ? 1.021f : 1.1f;
  const F32x16 unit = fit_inverse(extreme_of(x, n));
  ScaleFit best{f_zero(), f_zero()};
  for (const float end : {Values::kLow, Values::kHigh}) {
    float at = end * kFirst;
    for (int i = 0; i < kTries; ++i, at *= kStep)
      try_scale<Values>(x, w, n, f_mul(f_set1(at), unit), best);
  }
  for (int i = 0; i < 3; ++i) try_scale<Values>(x, w, n, fit_inverse(best.scale), best);
  return best.scale;
}

// The error of a group at scale s.
template <class Values>
inline F32x16 scale_error(const float* x, const float* w, size_t n, F32x16 s) {
  const F32x16 inverse = fit_inverse(s);
  F32x16 error = f_zero();
  for (size_t i = 0; i < 16 * n; i += 16) {
    const F32x16 v = f_load(x + i);
    const F32x16 e = f_fnma(s, Values::nearest(f_mul(v, inverse)), v);
    error = f_fma(f_mul(f_load(w + i), e), e, error);
  }
  return error;
}

// -- x' = scale * q + low, q in [0, kTop]; a bounded low is never above 0
struct AffineFit {
  F32x16 scale, low, gain;
};

struct AffineSums {
  F32x16 w, x;  // sums of w and w x
};

inline AffineSums affine_sums(const float* x, const float* w, size_t n) {
  AffineSums s{f_zero(), f_zero()};
  for (size_t i = 0; i < 16 * n; i += 16) {
    s.w = f_add(s.w, f_load(w + i));
    s.x = f_fma(f_load(w + i), f_load(x + i), s.x);
  }
  return s;
}

template <int kTop, bool kBounded>
inline void try_affine(const float* x, const float* w, size_t n, const AffineSums& sums,
                       F32x16 inverse, F32x16 low, AffineFit& best) {
  F32x16 wq = f_zero(), qq = f_zero(), qx = f_zero();
  for (size_t i = 0; i < 16 * n; i += 16) {
    const F32x16 v = f_load(x + i), weight = f_load(w + i);
    const F32x16 q = Integers<0, kTop>::nearest(f_mul(f_sub(v, low), inverse));
    const F32x16 one = f_mul(weight, q);
    wq = f_add(wq, one);
    qq = f_fma(one, q, qq);
    qx = f_fma(one, v, qx);
  }
  // Least squares: [qq wq; wq w] [scale; low] = [qx; x].
  const F32x16 det = f_fnma(wq, wq, f_mul(qq, sums.w));
  const F32x16 least = f_mul(f_set1(1e-4f), f_mul(qq, sums.w));  // less is rounding
  const F32x16 solve = f_zero_below(det, least, fit_inverse(det));
  F32x16 scale = f_mul(f_fnma(wq, sums.x, f_mul(qx, sums.w)), solve);
  F32x16 at = f_mul(f_fnma(wq, qx, f_mul(qq, sums.x)), solve);
  if constexpr (kBounded) {
    const F32x16 alone = f_mul(qx, fit_inverse(qq));
    scale = f_pick_below(f_zero(), at, alone, scale);
    at = f_min(at, f_zero());
  }
  const F32x16 gain = f_fma(scale, qx, f_mul(at, sums.x));
  // A code for zeros with no scale at all has its gain from low alone.
  const auto take = [&](F32x16 a, F32x16 b) { return f_pick_below(best.gain, gain, a, b); };
  const F32x16 good = f_zero_below(scale, f_zero(), gain);
  best.scale = f_pick_below(best.gain, good, scale, best.scale);
  best.low = f_pick_below(best.gain, good, at, best.low);
  best.gain = take(good, best.gain);
}

template <int kTop, bool kBounded>
inline AffineFit fit_affine(const float* x, const float* w, size_t n) {
  F32x16 low = f_load(x), high = low;
  for (size_t i = 16; i < 16 * n; i += 16) {
    low = f_min(f_load(x + i), low);
    high = f_max(f_load(x + i), high);
  }
  if constexpr (kBounded) low = f_min(low, f_zero());
  const AffineSums sums = affine_sums(x, w, n);
  const F32x16 range = f_sub(high, low), unit = fit_inverse(range);
  AffineFit best{f_zero(), f_zero(), f_zero()};
  // Rows of equal values: no scale, and the mean.
  const F32x16 mean = f_mul(sums.x, fit_inverse(sums.w));
  best.low = kBounded ? f_min(mean, f_zero()) : mean;
  best.gain = f_mul(best.low, sums.x);
  constexpr int kTries = kTop > 15 ? 10 : 14;
  constexpr float kFirst = kTop > 3 ? 0.92f : 0.8f, kStep = kTop > 3 ? 1.03f : 1.06f;
  for (const float shift : {0.0f, 0.4f, 0.8f}) {  // of a step: the lowest values are cut off
    const F32x16 from = f_fma(range, f_set1(shift / kTop), low);
    float at = kTop * kFirst;
    for (int i = 0; i < kTries; ++i, at *= kStep)
      try_affine<kTop, kBounded>(x, w, n, sums, f_mul(f_set1(at), unit), from, best);
  }
  for (int i = 0; i < 3; ++i)
    try_affine<kTop, kBounded>(x, w, n, sums, fit_inverse(best.scale), best.low, best);
  return best;
}

template <int kTop>
inline F32x16 affine_error(const float* x, const float* w, size_t n, F32x16 s, F32x16 low) {
  const F32x16 inverse = fit_inverse(s);
  F32x16 error = f_zero();
  for (size_t i = 0; i < 16 * n; i += 16) {
    const F32x16 v = f_sub(f_load(x + i), low);
    const F32x16 e = f_fnma(s, Integers<0, kTop>::nearest(f_mul(v, inverse)), v);
    error = f_fma(f_mul(f_load(w + i), e), e, error);
  }
  return error;
}
