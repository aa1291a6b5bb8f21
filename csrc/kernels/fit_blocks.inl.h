// SPDX-License-Identifier: MIT
// The quantizer, block by block: groups are fitted alone (fit_groups.inl.h), then their scales are
// rounded to what the block can hold, tried again one step up and down, and what all groups share
// is fitted to the codes. See fit_groups.inl.h for the layout.

inline F32x16 f_as_f16(F32x16 a) {  // rounded, and finite
  uint16_t half[16];
  f_store_f16(half, f_min(f_max(a, f_set1(-65504.0f)), f_set1(65504.0f)));
  return f_load_f16(half);
}

inline F32x16 f_round(F32x16 x, float low, float high) {
  const F32x16 inside = f_min(f_max(x, f_set1(low)), f_set1(high));
  return f_sub(f_add(inside, f_set1(kRoundMagic)), f_set1(kRoundMagic));
}

template <class Put>
inline void each_row(F32x16 a, const Put& put) {
  float lanes[16];
  f_store(lanes, a);
  for (size_t r = 0; r < 16; ++r) put(r, lanes[r]);
}

// The codes of n values, from value `first` of the block on.
template <class Values>
inline void put_codes(const float* x, size_t first, size_t n, F32x16 scale, F32x16 low,
                      BlockParts* parts) {
  const F32x16 inverse = fit_inverse(scale);
  for (size_t i = first; i < first + n; ++i) {
    const F32x16 q = Values::nearest(f_mul(f_sub(f_load(x + 16 * i), low), inverse));
    each_row(q, [&](size_t r, float value) { parts[r].codes[i] = Values::code(value); });
  }
}

inline void put_d(F32x16 d, BlockParts* parts) {
  each_row(d, [&](size_t r, float value) { parts[r].d = value; });
}
inline void put_m(F32x16 m, BlockParts* parts) {
  each_row(m, [&](size_t r, float value) { parts[r].m = value; });
}
inline void put_scale(F32x16 s, size_t j, BlockParts* parts) {
  each_row(s, [&](size_t r, float value) { parts[r].scales[j] = static_cast<int>(value); });
}
inline void put_min(F32x16 m, size_t j, BlockParts* parts) {
  each_row(m, [&](size_t r, float value) { parts[r].mins[j] = static_cast<int>(value); });
}

// One f16 scale for n values.
template <class Values, size_t n>
void fit_plain(const float* x, const float* w, BlockParts* parts) noexcept {
  const F32x16 d = f_as_f16(fit_scale<Values>(x, w, n));
  put_d(d, parts);
  put_codes<Values>(x, 0, n, d, f_zero(), parts);
}

// An f16 scale and an f16 minimum for 32 values.
template <int kTop>
void fit_offset(const float* x, const float* w, BlockParts* parts) noexcept {
  const AffineFit best = fit_affine<kTop, false>(x, w, 32);
  const F32x16 d = f_as_f16(best.scale), m = f_as_f16(best.low);
  put_d(d, parts);
  put_m(m, parts);
  put_codes<Integers<0, kTop>>(x, 0, 32, d, m, parts);
}

// 256 values in kGroups: x' = d * scales[j] * value, scales in [kMin, kMax].
template <class Values, size_t kGroups, int kMin, int kMax>
struct ScaledBlock {
  static constexpr size_t n = 256 / kGroups;
  const float *x, *w;
  F32x16 scales[kGroups], error;
  F32x16 d;

  void fit(BlockParts* parts) {
    F32x16 alone[kGroups], largest = f_zero();
    for (size_t j = 0; j < kGroups; ++j) {
      alone[j] = fit_scale<Values>(x + 16 * n * j, w + 16 * n * j, n);
      largest = f_pick_below(f_abs(largest), f_abs(alone[j]), alone[j], largest);
    }
    ScaledBlock best = *this;
    best.error = f_set1(3e38f);
    for (const float end : {1.0f, 0.97f, 1.04f, 0.93f}) {
      round_scales(alone, f_as_f16(f_mul(largest, f_set1(end / kMin))));
      for (int round = 0; round < 2; ++round) {
        best.take_if_better(*this);
        refit();
        neighbours();
      }
      best.take_if_better(*this);
    }
    *this = best;
    put_d(d, parts);
    for (size_t j = 0; j < kGroups; ++j) {
      put_scale(scales[j], j, parts);
      put_codes<Values>(x, n * j, n, f_mul(d, scales[j]), f_zero(), parts);
    }
  }

 private:
  F32x16 group_error(size_t j, F32x16 scale) const {
    return scale_error<Values>(x + 16 * n * j, w + 16 * n * j, n, f_mul(d, scale));
  }
  void round_scales(const F32x16* alone, F32x16 shared) {
    d = shared;
    const F32x16 inverse = fit_inverse(d);
    error = f_zero();
    for (size_t j = 0; j < kGroups; ++j) {
      scales[j] = f_round(f_mul(alone[j], inverse), kMin, kMax);
      error = f_add(error, group_error(j, scales[j]));
    }
  }
  // d to the codes and scales as they are.
  void refit() {
    F32x16 ax = f_zero(), aa = f_zero();
    for (size_t j = 0; j < kGroups; ++j) {
      const F32x16 inverse = fit_inverse(f_mul(d, scales[j]));
      for (size_t i = 16 * n * j; i < 16 * n * (j + 1); i += 16) {
        const F32x16 v = f_load(x + i);
        const F32x16 a = f_mul(scales[j], Values::nearest(f_mul(v, inverse)));
        const F32x16 wa = f_mul(f_load(w + i), a);
        ax = f_fma(wa, v, ax);
        aa = f_fma(wa, a, aa);
      }
    }
    const F32x16 fitted = f_as_f16(f_mul(ax, fit_inverse(aa)));
    d = f_pick_below(f_zero(), f_abs(fitted), fitted, d);
  }
  void neighbours() {
    error = f_zero();
    for (size_t j = 0; j < kGroups; ++j) {
      const F32x16 middle = scales[j];
      F32x16 least = group_error(j, middle);
      for (const float step : {-1.0f, 1.0f}) {
        const F32x16 other = f_round(f_add(middle, f_set1(step)), kMin, kMax);
        const F32x16 e = group_error(j, other);
        scales[j] = f_pick_below(e, least, other, scales[j]);
        least = f_min(e, least);
      }
      error = f_add(error, least);
    }
  }
  void take_if_better(const ScaledBlock& other) {
    d = f_pick_below(other.error, error, other.d, d);
    for (size_t j = 0; j < kGroups; ++j)
      scales[j] = f_pick_below(other.error, error, other.scales[j], scales[j]);
    error = f_min(other.error, error);
  }
};

template <class Values, size_t kGroups, int kMin, int kMax>
void fit_scaled(const float* x, const float* w, BlockParts* parts) noexcept {
  ScaledBlock<Values, kGroups, kMin, kMax>{x, w, {}, f_zero(), f_zero()}.fit(parts);
}

// 256 values in kGroups: x' = d * scales[j] * q - m * mins[j], q in [0, kTop].
template <int kTop, size_t kGroups, int kMax>
struct AffineBlock {
  static constexpr size_t n = 256 / kGroups;
  const float *x, *w;
  F32x16 scales[kGroups], mins[kGroups], error;
  F32x16 d, m;

  void fit(BlockParts* parts) {
    F32x16 steps[kGroups], lows[kGroups], most = f_zero(), lowest = f_zero();
    for (size_t j = 0; j < kGroups; ++j) {
      const AffineFit alone = fit_affine<kTop, true>(x + 16 * n * j, w + 16 * n * j, n);
      steps[j] = alone.scale;
      lows[j] = f_sub(f_zero(), alone.low);
      most = f_max(steps[j], most);
      lowest = f_max(lows[j], lowest);
    }
    AffineBlock best = *this;
    best.error = f_set1(3e38f);
    for (const float end : {1.0f, 0.94f}) {
      round_scales(steps, lows, f_as_f16(f_mul(most, f_set1(end / kMax))),
                   f_as_f16(f_mul(lowest, f_set1(end / kMax))));
      for (int round = 0; round < 2; ++round) {
        best.take_if_better(*this);
        refit();
        neighbours();
      }
      best.take_if_better(*this);
    }
    *this = best;
    put_d(d, parts);
    put_m(m, parts);
    for (size_t j = 0; j < kGroups; ++j) {
      put_scale(scales[j], j, parts);
      put_min(mins[j], j, parts);
      put_codes<Integers<0, kTop>>(x, n * j, n, f_mul(d, scales[j]), low(j, mins[j]), parts);
    }
  }

 private:
  F32x16 low(size_t, F32x16 min) const { return f_sub(f_zero(), f_mul(m, min)); }
  F32x16 group_error(size_t j, F32x16 scale, F32x16 min) const {
    return affine_error<kTop>(x + 16 * n * j, w + 16 * n * j, n, f_mul(d, scale), low(j, min));
  }
  void round_scales(const F32x16* steps, const F32x16* lows, F32x16 shared, F32x16 shared_min) {
    d = shared;
    m = shared_min;
    error = f_zero();
    for (size_t j = 0; j < kGroups; ++j) {
      scales[j] = f_round(f_mul(steps[j], fit_inverse(d)), 0, kMax);
      mins[j] = f_round(f_mul(lows[j], fit_inverse(m)), 0, kMax);
      error = f_add(error, group_error(j, scales[j], mins[j]));
    }
  }
  // d and m to the codes, scales and minima as they are: least squares of x on (a, -b).
  void refit() {
    F32x16 aa = f_zero(), ab = f_zero(), bb = f_zero(), ax = f_zero(), bx = f_zero();
    for (size_t j = 0; j < kGroups; ++j) {
      const F32x16 from = low(j, mins[j]), inverse = fit_inverse(f_mul(d, scales[j]));
      const F32x16 b = f_sub(f_zero(), mins[j]);
      for (size_t i = 16 * n * j; i < 16 * n * (j + 1); i += 16) {
        const F32x16 v = f_load(x + i), weight = f_load(w + i);
        const F32x16 q = Integers<0, kTop>::nearest(f_mul(f_sub(v, from), inverse));
        const F32x16 a = f_mul(scales[j], q);
        const F32x16 wa = f_mul(weight, a), wb = f_mul(weight, b);
        aa = f_fma(wa, a, aa);
        ab = f_fma(wa, b, ab);
        bb = f_fma(wb, b, bb);
        ax = f_fma(wa, v, ax);
        bx = f_fma(wb, v, bx);
      }
    }
    const F32x16 det = f_fnma(ab, ab, f_mul(aa, bb));
    const F32x16 solve = f_zero_below(det, f_mul(f_set1(1e-5f), f_mul(aa, bb)), fit_inverse(det));
    const F32x16 fitted = f_as_f16(f_mul(f_fnma(ab, bx, f_mul(bb, ax)), solve));
    const F32x16 fitted_min = f_as_f16(f_mul(f_fnma(ab, ax, f_mul(aa, bx)), solve));
    const F32x16 both = f_min(fitted, fitted_min);
    d = f_pick_below(f_zero(), both, fitted, d);
    m = f_pick_below(f_zero(), both, fitted_min, m);
  }
  void neighbours() {
    error = f_zero();
    for (size_t j = 0; j < kGroups; ++j) {
      const F32x16 scale = scales[j], min = mins[j];
      F32x16 least = group_error(j, scale, min);
      for (const float up : {-1.0f, 0.0f, 1.0f}) {
        for (const float over : {-1.0f, 0.0f, 1.0f}) {
          if (up == 0.0f && over == 0.0f) continue;
          const F32x16 s = f_round(f_add(scale, f_set1(up)), 0, kMax);
          const F32x16 b = f_round(f_add(min, f_set1(over)), 0, kMax);
          const F32x16 e = group_error(j, s, b);
          scales[j] = f_pick_below(e, least, s, scales[j]);
          mins[j] = f_pick_below(e, least, b, mins[j]);
          least = f_min(e, least);
        }
      }
      error = f_add(error, least);
    }
  }
  void take_if_better(const AffineBlock& other) {
    const auto take = [&](F32x16 theirs, F32x16 ours) {
      return f_pick_below(other.error, error, theirs, ours);
    };
    d = take(other.d, d);
    m = take(other.m, m);
    for (size_t j = 0; j < kGroups; ++j) {
      scales[j] = take(other.scales[j], scales[j]);
      mins[j] = take(other.mins[j], mins[j]);
    }
    error = f_min(other.error, error);
  }
};

template <int kTop, size_t kGroups, int kMax>
void fit_k(const float* x, const float* w, BlockParts* parts) noexcept {
  AffineBlock<kTop, kGroups, kMax>{x, w, {}, {}, f_zero(), f_zero(), f_zero()}.fit(parts);
}

// Groups whose scale is one of a list: those around the one that the group alone would have.
// scale_of gives the value of a scale's code, in the units of Mxfp4Values.
template <size_t kGroups, size_t n, int kCodes, class ScaleOf>
inline void fit_listed(const float* x, const float* w, BlockParts* parts, int reach,
                       const ScaleOf& scale_of) {
  for (size_t j = 0; j < kGroups; ++j) {
    const float *gx = x + 16 * n * j, *gw = w + 16 * n * j;
    float alone[16], first[16];
    f_store(alone, f_abs(fit_scale<Mxfp4Values>(gx, gw, n)));
    for (size_t r = 0; r < 16; ++r) {
      int code = 0;
      while (code + 1 < kCodes && scale_of(code) < alone[r]) ++code;
      first[r] = static_cast<float>(code - reach > 0 ? code - reach : 0);
    }
    F32x16 best = f_zero(), scale = f_zero(), least = f_set1(3e38f);
    for (int step = 0; step <= 2 * reach; ++step) {
      const F32x16 code = f_min(f_add(f_load(first), f_set1(static_cast<float>(step))),
                                f_set1(static_cast<float>(kCodes - 1)));
      float lanes[16];
      f_store(lanes, code);
      for (float& lane : lanes) lane = scale_of(static_cast<int>(lane));
      const F32x16 s = f_load(lanes), e = scale_error<Mxfp4Values>(gx, gw, n, s);
      best = f_pick_below(e, least, code, best);
      scale = f_pick_below(e, least, s, scale);
      least = f_min(e, least);
    }
    put_scale(best, j, parts);
    put_codes<Mxfp4Values>(x, n * j, n, scale, f_zero(), parts);
  }
}

inline float mxfp4_scale(int code) {  // see formats/mxfp4.h
  const uint32_t e = static_cast<uint32_t>(code);
  return __builtin_bit_cast(float, e < 2 ? 0x00200000u << e : (e - 1) << 23);
}
inline float nvfp4_scale(int code) {  // see formats/nvfp4.h
  const int exponent = code >> 3, mantissa = code & 7;
  const int significand = exponent == 0 ? mantissa : (mantissa | 8) << (exponent - 1);
  return static_cast<float>(significand) * 0x1p-10f;
}

void fit_mxfp4(const float* x, const float* w, BlockParts* parts) noexcept {
  fit_listed<1, 32, 255>(x, w, parts, 1, mxfp4_scale);
}
void fit_nvfp4(const float* x, const float* w, BlockParts* parts) noexcept {
  fit_listed<4, 16, 127>(x, w, parts, 3, nvfp4_scale);
}

using FitBlock = void (*)(const float*, const float*, BlockParts*) noexcept;

template <Format format>
constexpr FitBlock block_fit() {
  switch (format) {
    case Format::Q1_0:
      return fit_plain<SignBits, 128>;
    case Format::Q2_0:
      return fit_plain<Integers<-1, 2>, 64>;
    case Format::Q4_0:
      return fit_plain<Integers<-8, 7>, 32>;
    case Format::Q5_0:
      return fit_plain<Integers<-16, 15>, 32>;
    case Format::Q8_0:
      return fit_plain<Integers<-128, 127>, 32>;
    case Format::Q4_1:
      return fit_offset<15>;
    case Format::Q5_1:
      return fit_offset<31>;
    case Format::Q2_K:
      return fit_k<3, 16, 15>;
    case Format::Q4_K:
      return fit_k<15, 8, 63>;
    case Format::Q5_K:
      return fit_k<31, 8, 63>;
    case Format::Q3_K:
      return fit_scaled<Integers<-4, 3>, 16, -32, 31>;
    case Format::Q6_K:
      return fit_scaled<Integers<-32, 31>, 16, -128, 127>;
    case Format::IQ4_NL:
      return fit_plain<Iq4Values, 32>;
    case Format::IQ4_XS:
      return fit_scaled<Iq4Values, 8, -32, 31>;
    case Format::MXFP4:
      return fit_mxfp4;
    case Format::NVFP4:
      return fit_nvfp4;
    case Format::TQ1_0:
    case Format::TQ2_0:  // of its four codes, ternary models use three
      return fit_plain<Integers<-1, 1>, 256>;
    default:
      return nullptr;
  }
}
