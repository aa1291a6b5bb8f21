// SPDX-License-Identifier: MIT
// exp and what comes from it, without libm: the same operation sequence, hence the same bits, on
// every ISA. x = n ln 2 + r, |r| <= ln 2 / 2; e^r by the degree-6 Taylor-like minimax polynomial of
// Cephes (expf), relative error below 2e-7; 2^n by adding n to the exponent.
inline constexpr float kLowestExp = -87.0f;  // e^-87 is still normal

inline F32x16 f_exp_in_range(F32x16 x) {  // kLowestExp <= x <= 88
  const F32x16 shifted = f_fma(x, f_set1(1.44269504f), f_set1(kRoundMagic));
  const F32x16 n = f_sub(shifted, f_set1(kRoundMagic));
  F32x16 r = f_fnma(n, f_set1(0.693359375f), x);
  r = f_fnma(n, f_set1(-2.12194440e-4f), r);
  F32x16 poly = f_set1(1.9875691500e-4f);
  poly = f_fma(poly, r, f_set1(1.3981999507e-3f));
  poly = f_fma(poly, r, f_set1(8.3334519073e-3f));
  poly = f_fma(poly, r, f_set1(4.1665795894e-2f));
  poly = f_fma(poly, r, f_set1(1.6666665459e-1f));
  poly = f_fma(poly, r, f_set1(5.0000001201e-1f));
  poly = f_add(f_fma(f_mul(r, r), poly, r), f_set1(1.0f));
  // The low bits of `shifted` hold n; shifted into the exponent they multiply by 2^n.
  return f_bits(i_add(i_bits(poly), i_shl<23>(i_bits(shifted))));
}

inline F32x16 f_exp(F32x16 x) {  // 0 below kLowestExp
  const F32x16 lowest = f_set1(kLowestExp);
  return f_zero_below(x, lowest, f_exp_in_range(f_max(f_min(x, f_set1(88.0f)), lowest)));
}

// 2^x for x <= 0, exactly 0 below -127, and 1 at 0. x = n + r, |r| <= 1/2; 2^r by a minimax
// polynomial of degree 5, relative error below 2e-7.
inline F32x16 f_exp2(F32x16 x) {
  const F32x16 clamped = f_max(x, f_set1(-127.0f));
  const F32x16 shifted = f_add(clamped, f_set1(kRoundMagic));
  const F32x16 r = f_sub(clamped, f_sub(shifted, f_set1(kRoundMagic)));
  F32x16 poly = f_set1(1.3264698823e-3f);
  poly = f_fma(poly, r, f_set1(9.6715088309e-3f));
  poly = f_fma(poly, r, f_set1(5.5507337765e-2f));
  poly = f_fma(poly, r, f_set1(2.4022242145e-1f));
  poly = f_fma(poly, r, f_set1(6.9314697761e-1f));
  poly = f_fma(poly, r, f_set1(1.0f));
  return f_bits(i_add(i_bits(poly), i_shl<23>(i_bits(shifted))));
}

// tanh x: Cephes' odd polynomial below 0.625, else 1 - 2 / (e^2x + 1); relative error below 3e-7.
inline F32x16 f_tanh(F32x16 x) {
  constexpr float kBorder = 0.625f, kBelow = 0x1.3ffffep-1f;  // neighbours
  const F32x16 one = f_set1(1.0f);
  const F32x16 e = f_exp(f_add(x, x));
  const F32x16 large = f_sub(one, f_div(f_set1(2.0f), f_add(e, one)));
  const F32x16 z = f_mul(x, x);
  F32x16 poly = f_set1(-5.70498872745e-3f);
  poly = f_fma(poly, z, f_set1(2.06390887954e-2f));
  poly = f_fma(poly, z, f_set1(-5.37397155531e-2f));
  poly = f_fma(poly, z, f_set1(1.33314422036e-1f));
  poly = f_fma(poly, z, f_set1(-3.33332819422e-1f));
  const F32x16 small = f_fma(f_mul(poly, z), x, x);
  const F32x16 size = f_abs(x);  // one of the two terms is 0
  return f_add(f_zero_below(size, f_set1(kBorder), large),
               f_zero_below(f_set1(kBelow), size, small));
}

// x / (1 + e^-x)
inline F32x16 f_silu(F32x16 x) { return f_div(x, f_add(f_set1(1.0f), f_exp(f_sub(f_zero(), x)))); }

// x (1 + erf(x / sqrt 2)) / 2 = max(x, 0) - |x| h, h = erfc(|x| / sqrt 2) / 2 = s q(s) e^(-x^2 / 2)
// with s = 1 / (1 + |x| / sqrt 8); q is a minimax polynomial of degree 8. h is right to 1.3e-7, and
// to 1.1e-6 of itself, so that the tail of negative x has nearly all of its digits.
inline F32x16 f_gelu(F32x16 x) {
  const F32x16 size = f_abs(x), one = f_set1(1.0f);
  const F32x16 s = f_div(one, f_fma(size, f_set1(0.35355339f), one));
  const F32x16 e = f_exp(f_mul(f_mul(x, x), f_set1(-0.5f)));
  F32x16 q = f_set1(-2.9423667158e-2f);
  q = f_fma(q, s, f_set1(1.4174436457e-1f));
  q = f_fma(q, s, f_set1(-2.4246955256e-1f));
  q = f_fma(q, s, f_set1(1.3773271799e-1f));
  q = f_fma(q, s, f_set1(-1.2410597742e-2f));
  q = f_fma(q, s, f_set1(1.0095868072e-1f));
  q = f_fma(q, s, f_set1(1.2165001775e-1f));
  q = f_fma(q, s, f_set1(1.4117401920e-1f));
  q = f_fma(q, s, f_set1(1.4104399622e-1f));
  return f_fnma(size, f_mul(f_mul(q, s), e), f_max(x, f_zero()));
}

// 1 / (1 + e^-x)
inline F32x16 f_sigmoid(F32x16 x) {
  return f_div(f_set1(1.0f), f_add(f_set1(1.0f), f_exp(f_sub(f_zero(), x))));
}

// ln(1 + e^x) = max(x, 0) + ln(1 + u) with u = e^-|x|; ln(1 + u) = 2 atanh s, s = u / (2 + u) <=
// 1/3, by the first eight terms of its series: the rest is below 2e-9 of it.
inline F32x16 f_softplus(F32x16 x) {
  const F32x16 u = f_exp(f_sub(f_zero(), f_abs(x)));
  const F32x16 s = f_div(u, f_add(f_set1(2.0f), u));
  const F32x16 z = f_mul(s, s);
  F32x16 sum = f_set1(1.0f / 15.0f);
  for (int n = 13; n > 0; n -= 2) sum = f_fma(sum, z, f_set1(1.0f / static_cast<float>(n)));
  return f_fma(f_add(s, s), sum, f_max(x, f_zero()));
}

// x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), as x / (1 + e^-2u).
inline F32x16 f_gelu_tanh(F32x16 x) {
  const F32x16 slope = f_fma(f_mul(x, x), f_set1(0.044715f * 1.59576912f), f_set1(1.59576912f));
  return f_div(x, f_add(f_set1(1.0f), f_exp(f_sub(f_zero(), f_mul(slope, x)))));
}
