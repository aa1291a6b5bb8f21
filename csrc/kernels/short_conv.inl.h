// SPDX-License-Identifier: MIT
// Causal convolution of each channel with the rows before it. Products are added in the order of
// the taps, whether a row lies in the batch or in the history, so a batch may be cut anywhere.
inline constexpr size_t kMostTaps = 16;

// The rows of z that one token sees, oldest first.
struct ConvRows {
  const float* z[kMostTaps];
  const float* gate[kMostTaps];  // null: z is there as it is

  ConvRows(const ShortConvArgs& args, size_t t) {
    const size_t before = args.taps - 1;
    for (size_t j = 0; j < args.taps; ++j) {
      const size_t back = before - j;
      gate[j] = nullptr;
      if (t < back) {  // positions before the first have rows of zeros
        z[j] = args.history + (args.position + t + before - back) % before * args.channels;
        continue;
      }
      z[j] = args.x + (t - back) * args.x_stride;
      if (args.gate != nullptr) gate[j] = args.gate + (t - back) * args.gate_stride;
    }
  }
};

void short_conv(const ShortConvArgs& args, size_t t0, size_t t1) noexcept {
  for (size_t t = t0; t < t1; ++t) {
    const ConvRows rows(args, t);
    float* out = args.out + t * args.out_stride;
    for (size_t c = 0; c < args.channels; c += 16) {
      const size_t n = args.channels - c < 16 ? args.channels - c : 16;
      F32x16 sum = args.bias == nullptr ? f_zero() : load_lanes(args.bias + c, n);
      for (size_t j = 0; j < args.taps; ++j) {
        F32x16 z = load_lanes(rows.z[j] + c, n);
        if (rows.gate[j] != nullptr) z = f_mul(z, load_lanes(rows.gate[j] + c, n));
        sum = f_fma(load_lanes(args.weight + j * args.channels + c, n), z, sum);
      }
      if (args.silu) sum = f_silu(sum);
      store_lanes(out + c, n, sum);
    }
  }
}
