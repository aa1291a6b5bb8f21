// SPDX-License-Identifier: MIT
// Rotary position embedding in place: (a, b) -> (a c - b s, a s + b c). The second product is
// rounded, the first goes into an FMA, written out: GCC's vectorizer forms fmaddsub from plain sums
// of products even with -ffp-contract=off.
inline void rotate(float& a, float& b, float c, float s) {
  const float x = __builtin_fmaf(a, c, -(b * s));
  const float y = __builtin_fmaf(a, s, b * c);
  a = x;
  b = y;
}

void rope(const RopeArgs& args, size_t t0, size_t t1) noexcept {
  const size_t half = args.n_rot / 2;
  for (size_t t = t0; t < t1; ++t) {
    const float* table = args.cos_sin + static_cast<size_t>(args.positions[t]) * args.n_rot;
    for (size_t h = 0; h < args.heads; ++h) {
      float* x = args.x + t * args.stride + h * args.D;
      for (size_t i = 0; i < half; ++i) {
        float& a = args.neox ? x[i] : x[2 * i];
        float& b = args.neox ? x[i + half] : x[2 * i + 1];
        rotate(a, b, table[2 * i], table[2 * i + 1]);
      }
    }
    if (args.scales == nullptr) continue;
    const float scale = args.scales[args.positions[t]];
    for (size_t i = 0; i < args.heads * args.D; ++i) args.x[t * args.stride + i] *= scale;
  }
}
