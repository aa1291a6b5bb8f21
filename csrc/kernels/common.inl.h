// SPDX-License-Identifier: MIT
// Small pieces that every kernel uses, on top of the simd vocabulary.
// Unrolling pays where registers hold the tile; scalar and instrumented code only take longer to
// compile.
#define GM_PRAGMA(text) _Pragma(#text)
#if defined(GM_SCALAR) || defined(GM_DEBUG_CHECKS)
#define GM_UNROLL(n)
#elif defined(__clang__)
#define GM_UNROLL(n) GM_PRAGMA(clang loop unroll_count(n))
#else
#define GM_UNROLL(n) GM_PRAGMA(GCC unroll n)
#endif

template <int n>
inline Bytes64 b_shift_left(Bytes64 x) {  // negative n: right
  if constexpr (n > 0) return b_shl<n>(x);
  if constexpr (n < 0) return b_shr<-n>(x);
  return x;
}

// Moves bit s of every byte to bit 4; the bits around it are to be masked off.
inline Bytes64 b_bit_to_4(Bytes64 x, int s) {
  switch (s) {
    case 0:
      return b_shift_left<4>(x);
    case 1:
      return b_shift_left<3>(x);
    case 2:
      return b_shift_left<2>(x);
    case 3:
      return b_shift_left<1>(x);
    case 4:
      return x;
    case 5:
      return b_shift_left<-1>(x);
    case 6:
      return b_shift_left<-2>(x);
    default:
      return b_shift_left<-3>(x);
  }
}

// Pair s of the bits of every byte in its two low bits; the others are to be masked off.
inline Bytes64 b_pair_to_0(Bytes64 x, int s) {
  return s == 0 ? x : s == 1 ? b_shr<2>(x) : s == 2 ? b_shr<4>(x) : b_shr<6>(x);
}

inline I32x16 i_broadcast(const uint32_t* p) { return i_set1(static_cast<int32_t>(*p)); }

inline F32x16 f_broadcast(const uint32_t* p) { return f_set1(__builtin_bit_cast(float, *p)); }

// n of 16 lanes at the end of a row; partial loads and stores take longer than whole ones.
inline F32x16 load_lanes(const float* p, size_t n) {
  return n < 16 ? f_load_partial(p, n) : f_load(p);
}
inline void store_lanes(float* p, size_t n, F32x16 x) {
  if (n < 16) return f_store_partial(p, n, x);
  f_store(p, x);
}

// Rounds half to even for |x| < 2^22 and leaves the integer in the low bits: x + 1.5 * 2^23 has an
// ulp of 1. The same instruction on every ISA, unlike float-to-int conversions of NaN.
inline constexpr float kRoundMagic = 12582912.0f;

// What p points to is loaded again after this: cheaper than the registers that would hold it.
inline void forget_loads(const void* p) { __asm__ volatile("" : : "r"(p) : "memory"); }

// Fetches share `part` of `parts` of the cache lines of [p, p + bytes) into L1. In one burst they
// would fill all line buffers and stall what follows.
inline void fetch_share(const void* p, size_t bytes, size_t part, size_t parts) {
  const size_t lines = (bytes + 63) / 64;
  const size_t end = lines * (part + 1) / parts;
  GM_UNROLL(8)
  for (size_t i = lines * part / parts; i < end; ++i)
    __builtin_prefetch(static_cast<const uint8_t*>(p) + 64 * i);
}
