// SPDX-License-Identifier: MIT
// F32, F16 and BF16 blocks times a tile of activations; W, N, P as in linear_256.inl.h. A lane is a
// row, so there is no horizontal sum. Runs of 64 values are summed in f32 FMA from zero and added
// up in order: in decode the two runs of a step are independent chains, which hides the latency of
// an FMA; in prefill the tokens of a tile do that, and one accumulator each fits the registers.
struct F32Panel {
  using Value = float;
  static F32x16 load(const uint8_t* p) { return f_load(reinterpret_cast<const float*>(p)); }
};
struct F16Panel {
  using Value = uint16_t;
  static F32x16 load(const uint8_t* p) { return f_load_f16(reinterpret_cast<const uint16_t*>(p)); }
};
struct BF16Panel {
  using Value = uint16_t;
  static F32x16 load(const uint8_t* p) { return f_load_bf16(reinterpret_cast<const uint16_t*>(p)); }
};

inline constexpr size_t kFloatRun = 64;

// A step of the loop in linear.inl.h: two runs, the last one of a row may be shorter.
template <class PanelType>
struct StepsFloat {
  using Panel = PanelType;
  struct Expanded {
    alignas(64) float lines[2 * kFloatRun][16];
  };
  static constexpr size_t kTile = kMaxTile;
  static constexpr size_t kActDwords = 2 * kFloatRun;
  static constexpr size_t kLineBytes = kPanelRows * sizeof(typename Panel::Value);
  static constexpr size_t kStepBytes = 2 * kFloatRun * kLineBytes;
  static size_t count(size_t K) { return (K + 2 * kFloatRun - 1) / (2 * kFloatRun); }
  static size_t panel_bytes(size_t K) { return K * kLineBytes; }
  static size_t values(size_t K, size_t step) {
    const size_t left = K - step * 2 * kFloatRun;
    return left < 2 * kFloatRun ? left : 2 * kFloatRun;
  }
  static void fill(const uint8_t* panel, size_t K, size_t step, Expanded& out) {
    for (size_t k = 0; k < values(K, step); ++k)
      f_store(out.lines[k], Panel::load(panel + step * kStepBytes + k * kLineBytes));
  }

  template <int W>
  static void add_direct(const uint8_t* panel, size_t K, size_t step, const uint32_t* act,
                         RegisterSums<1, W>& acc) {
    const uint8_t* line = panel + step * kStepBytes;
    const size_t n = values(K, step);
    RegisterSums<1, W> run[2];
    run[0].clear();
    run[1].clear();
    const size_t both = n > kFloatRun ? n - kFloatRun : 0;  // values of the second run
    for (size_t k = 0; k < both; ++k) {
      add_line<W>(line, k, act, run[0]);
      add_line<W>(line, kFloatRun + k, act, run[1]);
    }
    for (size_t k = both; k < n && k < kFloatRun; ++k) add_line<W>(line, k, act, run[0]);
    for (const RegisterSums<1, W>& sums : run) {
      GM_UNROLL(12)
      for (int t = 0; t < W; ++t) acc.v[0][t] = f_add(acc.v[0][t], sums.v[0][t]);
    }
  }

  template <int W, int N, int P>
  static void add_expanded(const Expanded* source, size_t K, size_t step, const uint32_t* act,
                           const uint32_t* ahead, ScratchSums sums) {
    const size_t n = values(K, step);
    for (size_t first = 0; first < 2 * kFloatRun; first += kFloatRun) {
      const size_t end = first + kFloatRun < n ? first + kFloatRun : n;
      RegisterSums<P, N> run;
      run.clear();
      for (size_t k = first; k < end; ++k) {
        if (k % 8 == 0) fetch_share(ahead + k * N, 8 * N * 4, 0, 1);
        F32x16 w[P];
        GM_UNROLL(2)
        for (int i = 0; i < P; ++i) w[i] = f_load(source[i].lines[k]);
        GM_UNROLL(16)
        for (int t = 0; t < N; ++t) {
          const F32x16 x = f_broadcast(act + k * W + t);
          GM_UNROLL(2)
          for (int i = 0; i < P; ++i) run.v[i][t] = f_fma(w[i], x, run.v[i][t]);
        }
      }
      GM_TILE(sums.set(i, t, f_add(sums.get(i, t), run.v[i][t])));
    }
  }

 private:
  template <int W>
  static void add_line(const uint8_t* line, size_t k, const uint32_t* act,
                       RegisterSums<1, W>& sums) {
    __builtin_prefetch(line + kStepBytes + k * kLineBytes);
    const F32x16 w = Panel::load(line + k * kLineBytes);
    GM_UNROLL(12)
    for (int t = 0; t < W; ++t) sums.v[0][t] = f_fma(w, f_broadcast(act + k * W + t), sums.v[0][t]);
  }
};
