// SPDX-License-Identifier: MIT
// Many tokens with smmla (level neon_i8mm), which multiplies 2 x 8 by 8 x 2 bytes: twice the work
// of a dot product. Its operands are chunks: 8 values of two rows, or of two tokens. Panels stay as
// they are: two lines (4 values of 16 rows each) become 8 chunks when a step is expanded, and two
// rows of a tile of activations become the chunks of its tokens by one zip each.
//
// Results stay 2 x 2, lanes (row 0, token 0), (0, 1), (1, 0), (1, 1), until a step ends: scales of
// rows come as s0 s0 s1 s1, those of tokens as s0 s1 s0 s1. A pass takes 8 rows, so that the
// products of a group and the sums of 4 tokens are 16 registers. Offsets are taken off when the
// weights are expanded, so only minima are left to be corrected for.

inline constexpr int kHalfPairs = 4;  // pairs of rows in a pass, half a panel

template <int W>
inline constexpr int kTokenPairs = (W + 1) / 2;  // a single token is paired with itself

// 2 x 2 results of a pass: [pair of rows][pair of tokens].
template <class V, int W>
using PairGrid = V[kHalfPairs][kTokenPairs<W>];

#define GM_PAIRS(...)                          \
  GM_UNROLL(4)                                 \
  for (int i = 0; i < kHalfPairs; ++i) {       \
    GM_UNROLL(2)                               \
    for (int t = 0; t < kTokenPairs<W>; ++t) { \
      __VA_ARGS__;                             \
    }                                          \
  }

// Dword rows [2][W] of a tile -> for each pair of tokens, 8 bytes of the one and of the other.
template <int W>
inline void load_tokens(const uint32_t* q, int8x16_t (&out)[kTokenPairs<W>]) {
  if constexpr (W == 1) {
    const uint32x2_t one = vld1_u32(q);
    out[0] = vreinterpretq_s8_u32(vcombine_u32(one, one));
  } else if constexpr (W == 2) {
    const uint32x4_t both = vld1q_u32(q);
    out[0] = vreinterpretq_s8_u32(vzip1q_u32(both, vextq_u32(both, both, 2)));
  } else {
    static_assert(W == 4);
    const uint32x4_t first = vld1q_u32(q), second = vld1q_u32(q + 4);
    out[0] = vreinterpretq_s8_u32(vzip1q_u32(first, second));
    out[1] = vreinterpretq_s8_u32(vzip2q_u32(first, second));
  }
}

// One f32 per token, for pair t: s0 s1 s0 s1.
template <int W>
inline float32x4_t token_scale(const uint32_t* p, int t) {
  if constexpr (W == 1) return vreinterpretq_f32_u32(vdupq_n_u32(*p));
  const uint32x2_t two = vld1_u32(p + 2 * t);
  return vreinterpretq_f32_u32(vcombine_u32(two, two));
}

// A value per row -> for each pair of rows, v0 v0 v1 v1; and 8 values of 16 rows, in pairs of rows.
// Each pass walks the rows of its half in one stream.
using HalfRows = int32_t[kHalfPairs][4];
using HalfChunk = uint8_t[kHalfPairs][16];

inline void store_rows(HalfRows& upper, HalfRows& lower, I32x16 rows) {
  const int32x4_t quads[4] = {rows.q0, rows.q1, rows.q2, rows.q3};
  for (int i = 0; i < 4; ++i) {
    HalfRows& out = i < 2 ? upper : lower;
    vst1q_s32(out[i % 2 * 2], vzip1q_s32(quads[i], quads[i]));
    vst1q_s32(out[i % 2 * 2 + 1], vzip2q_s32(quads[i], quads[i]));
  }
}
inline void store_rows(HalfRows& upper, HalfRows& lower, F32x16 rows) {
  store_rows(upper, lower, i_bits(rows));
}

inline float32x4_t load_pair(const HalfRows& rows, int pair) {
  return vreinterpretq_f32_s32(vld1q_s32(rows[pair]));
}

// From two lines, c and c + 1 of a group. A dword of a line is 4 values of a row.
inline void store_chunk(HalfChunk& upper, HalfChunk& lower, Bytes64 line0, Bytes64 line1) {
  const uint8x16_t a[4] = {line0.q0, line0.q1, line0.q2, line0.q3};
  const uint8x16_t b[4] = {line1.q0, line1.q1, line1.q2, line1.q3};
  for (int i = 0; i < 4; ++i) {
    HalfChunk& out = i < 2 ? upper : lower;
    const uint32x4_t x = vreinterpretq_u32_u8(a[i]), y = vreinterpretq_u32_u8(b[i]);
    vst1q_u8(out[i % 2 * 2], vreinterpretq_u8_u32(vzip1q_u32(x, y)));
    vst1q_u8(out[i % 2 * 2 + 1], vreinterpretq_u8_u32(vzip2q_u32(x, y)));
  }
}

// Two int16 pairs per row whose values are bytes -> a line.
inline Bytes64 narrow_pairs(I32x16 pairs0, I32x16 pairs1) {
  return each<Bytes64>(
      [](auto x, auto y) {
        const uint8x16_t both = vuzp1q_u8(vreinterpretq_u8_s32(x), vreinterpretq_u8_s32(y));
        const uint16x8_t twos = vreinterpretq_u16_u8(both);  // values 0, 1 of 4 rows, then 2, 3
        return vreinterpretq_u8_u16(vzip1q_u16(twos, vextq_u16(twos, twos, 4)));
      },
      pairs0, pairs1);
}

template <class Panel>
inline Bytes64 less_offset(Bytes64 line) {
  if constexpr (Panel::kOffset == 0) return line;
  return b_sub(line, b_set1(static_cast<uint8_t>(Panel::kOffset)));
}

// dot += kChunks chunks of weights times activations q [2 kChunks][W].
template <int kChunks, int W>
inline void add_chunks(const HalfChunk* weights, const uint32_t* q, PairGrid<int32x4_t, W>& dot) {
  GM_UNROLL(8)
  for (int c = 0; c < kChunks; ++c) {
    int8x16_t tokens[kTokenPairs<W>];
    load_tokens<W>(q + 2 * c * W, tokens);
    GM_UNROLL(4)
    for (int i = 0; i < kHalfPairs; ++i) {
      const int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(weights[c][i]));
      GM_UNROLL(2)
      for (int t = 0; t < kTokenPairs<W>; ++t) dot[i][t] = vmmlaq_s32(dot[i][t], w, tokens[t]);
    }
  }
}

// The f32 sums of a pass; in the scratch [W][16].
template <int W>
struct PairSums {
  PairGrid<float32x4_t, W> v;

  void load(const float* p) {
    GM_UNROLL(2)
    for (int t = 0; t < kTokenPairs<W>; ++t) {
      GM_UNROLL(2)
      for (int i = 0; i < kHalfPairs; i += 2) {
        const float* quad = p + 2 * t * kPanelRows + 2 * i;
        const float32x4_t first = vld1q_f32(quad);
        const float32x4_t second = W == 1 ? first : vld1q_f32(quad + kPanelRows);
        v[i][t] = vzip1q_f32(first, second);
        v[i + 1][t] = vzip2q_f32(first, second);
      }
    }
  }
  void store(float* p) const {
    GM_UNROLL(2)
    for (int t = 0; t < kTokenPairs<W>; ++t) {
      GM_UNROLL(2)
      for (int i = 0; i < kHalfPairs; i += 2) {
        float* quad = p + 2 * t * kPanelRows + 2 * i;
        vst1q_f32(quad, vuzp1q_f32(v[i][t], v[i + 1][t]));
        if constexpr (W > 1) vst1q_f32(quad + kPanelRows, vuzp2q_f32(v[i][t], v[i + 1][t]));
      }
    }
  }
};

// A block of 256 values. A format whose scales fit into its weights (ExpandedFrom) has none left,
// if they then are signed bytes; with an offset they are not.
template <class Panel>
struct PairFormOf {
  using Type = Panel;
};
template <class Panel>
  requires(Panel::kHasMin)
struct PairFormOf<Panel> {
  using Type = typename ExpandedFrom<Panel>::Type;
};
template <class Panel>
using PairForm = typename PairFormOf<Panel>::Type;

struct PairLines256 {
  struct Half {
    alignas(64) HalfChunk chunks[32];
    alignas(64) HalfRows scales[16];
    alignas(64) HalfChunk mins[2];
    alignas(64) HalfRows d, dmin;
  } upper, lower;
};

template <class Panel, int j = 0>
inline void expand_pairs(const Panel& panel, PairLines256& out) {
  if constexpr (j < Panel::kGroups) {
    for (int c = 0; c < Panel::kGroupLines; c += 2) {
      const int chunk = (j * Panel::kGroupLines + c) / 2;
      store_chunk(out.upper.chunks[chunk], out.lower.chunks[chunk],
                  less_offset<Panel>(panel.template line<j>(c)),
                  less_offset<Panel>(panel.template line<j>(c + 1)));
    }
    if constexpr (!kScaledLines<Panel>)
      store_rows(out.upper.scales[j], out.lower.scales[j], panel.scale(j));
    expand_pairs<Panel, j + 1>(panel, out);
  }
}

// The sums of activations that minima multiply fit in 13 bits and a sign: usmmla with the
// high bytes, shifted, and ummla with the low ones. Both are operands for pair t.
template <int W>
struct TokenSums {
  int8x16_t high[kTokenPairs<W>];
  uint8x16_t low[kTokenPairs<W>];

  explicit TokenSums(const uint32_t* sums) {  // int16 pairs [4][W]
    int8x16_t first[kTokenPairs<W>], second[kTokenPairs<W>];
    load_tokens<W>(sums, first);
    load_tokens<W>(sums + 2 * W, second);
    GM_UNROLL(2)
    for (int t = 0; t < kTokenPairs<W>; ++t) {
      const int64x2_t a = vreinterpretq_s64_s8(first[t]), b = vreinterpretq_s64_s8(second[t]);
      const int8x16_t token0 = vreinterpretq_s8_s64(vzip1q_s64(a, b));
      const int8x16_t token1 = vreinterpretq_s8_s64(vzip2q_s64(a, b));
      high[t] = vuzp2q_s8(token0, token1);
      low[t] = vreinterpretq_u8_s8(vuzp1q_s8(token0, token1));
    }
  }
};

template <class PanelType>
struct PairSteps256 : Steps256<PanelType> {
  using Panel = PairForm<PanelType>;
  using Expanded = PairLines256;
  using Half = PairLines256::Half;

  static void fill(const uint8_t* blocks, size_t, size_t step, Expanded& out) {
    const Panel panel(blocks + step * Panel::kBlockBytes);
    expand_pairs(panel, out);
    store_rows(out.upper.d, out.lower.d, panel.d());
    if constexpr (Panel::kHasMin) {
      store_rows(out.upper.dmin, out.lower.dmin, panel.dmin());
      for (int i = 0; i < Panel::kCorrections; i += 4)
        store_chunk(out.upper.mins[i / 4], out.lower.mins[i / 4],
                    narrow_pairs(panel.correction(i), panel.correction(i + 1)),
                    narrow_pairs(panel.correction(i + 2), panel.correction(i + 3)));
    }
  }

  template <int W, int N, int P>
  static void add_expanded(const Expanded* source, size_t, size_t, const uint32_t* act,
                           const uint32_t* ahead, ScratchSums sums) {
    static_assert(N == W && P == 1);
    add_half<W>(source->upper, act, ahead, sums.p);
    add_half<W>(source->lower, act, ahead + 32 * W, sums.p + kPanelRows / 2);
  }

 private:
  template <int W>
  static void add_half(const Half& w, const uint32_t* act, const uint32_t* ahead, float* sums) {
    PairGrid<int32x4_t, W> total = {};
    constexpr int kChunks = kScaledLines<Panel> ? 4 : Panel::kGroupLines / 2;
    for (int c = 0; c < 32; c += kChunks) {
      fetch_share(ahead + c * W, kChunks * W * 4, 0, 1);
      if constexpr (kScaledLines<Panel>) {
        add_chunks<kChunks, W>(w.chunks + c, act + 2 * c * W, total);
        continue;
      }
      PairGrid<int32x4_t, W> dot = {};
      add_chunks<kChunks, W>(w.chunks + c, act + 2 * c * W, dot);
      GM_PAIRS(total[i][t] = vmlaq_s32(total[i][t], dot[i][t], vld1q_s32(w.scales[c / kChunks][i])))
    }
    PairSums<W> acc;
    acc.load(sums);
    GM_PAIRS(acc.v[i][t] =
                 vfmaq_f32(acc.v[i][t], scale_of<W>(w.d, act, i, t), vcvtq_f32_s32(total[i][t])))
    if constexpr (Panel::kHasMin) {
      multiply_mins<W>(w, act, total);
      GM_PAIRS(acc.v[i][t] = vfmsq_f32(acc.v[i][t], scale_of<W>(w.dmin, act, i, t),
                                       vcvtq_f32_s32(total[i][t])))
    }
    acc.store(sums);
  }

  template <int W>
  static float32x4_t scale_of(const HalfRows& d, const uint32_t* act, int i, int t) {
    return vmulq_f32(load_pair(d, i), token_scale<W>(act + 76 * W, t));
  }

  // total = minima times sums of activations.
  template <int W>
  static void multiply_mins(const Half& w, const uint32_t* act, PairGrid<int32x4_t, W>& total) {
    constexpr int kCount = Panel::kCorrections / 4;
    const uint32_t* sums = act + (Panel::kCorrections == 8 ? 68 : 64) * W;
    const TokenSums<W> tokens[2] = {TokenSums<W>(sums), TokenSums<W>(sums + (kCount - 1) * 4 * W)};
    GM_UNROLL(4)
    for (int i = 0; i < kHalfPairs; ++i) {
      uint8x16_t mins[kCount];
      for (int n = 0; n < kCount; ++n) mins[n] = vld1q_u8(w.mins[n][i]);
      GM_UNROLL(2)
      for (int t = 0; t < kTokenPairs<W>; ++t) {
        int32x4_t high = vdupq_n_s32(0);
        for (int n = 0; n < kCount; ++n) high = vusmmlaq_s32(high, mins[n], tokens[n].high[t]);
        uint32x4_t all = vreinterpretq_u32_s32(vshlq_n_s32(high, 8));
        for (int n = 0; n < kCount; ++n) all = vmmlaq_u32(all, mins[n], tokens[n].low[t]);
        total[i][t] = vreinterpretq_s32_u32(all);
      }
    }
  }
};

// Blocks of 32 values, up to 8 in a step.
struct PairLines32 {
  struct Half {
    alignas(64) HalfChunk chunks[8][4];
    alignas(64) HalfRows d[8];
    alignas(64) HalfRows m[8];  // where the format has minima
  } upper, lower;
};

template <class PanelType>
struct PairSteps32 : Steps32<PanelType> {
  using Panel = PanelType;
  using Panels = Steps32<Panel>;
  using Expanded = PairLines32;
  using Half = PairLines32::Half;

  static void fill(const uint8_t* panel, size_t K, size_t step, Expanded& out) {
    constexpr size_t kParts = Panels::kParts;
    for (size_t b = 0; b < Panels::blocks(K, step); ++b) {
      const Panel source = Panels::block(panel, step, b / kParts * kParts, b % kParts);
      for (int c = 0; c < 8; c += 2)
        store_chunk(out.upper.chunks[b][c / 2], out.lower.chunks[b][c / 2],
                    less_offset<Panel>(source.line(c)), less_offset<Panel>(source.line(c + 1)));
      store_rows(out.upper.d[b], out.lower.d[b], source.d());
      if constexpr (kHasMinima<Panel>) store_rows(out.upper.m[b], out.lower.m[b], source.m());
    }
  }

  template <int W, int N, int P>
  static void add_expanded(const Expanded* source, size_t K, size_t step, const uint32_t* act,
                           const uint32_t* ahead, ScratchSums sums) {
    static_assert(N == W && P == 1);
    const size_t blocks = Panels::blocks(K, step);
    add_half<W, 0>(source->upper, blocks, act, ahead, sums.p);
    add_half<W, 1>(source->lower, blocks, act, ahead, sums.p + kPanelRows / 2);
  }

 private:
  template <int W, size_t half>
  static void add_half(const Half& w, size_t blocks, const uint32_t* act, const uint32_t* ahead,
                       float* sums) {
    PairSums<W> acc;
    acc.load(sums);
    for (size_t b = 0; b < blocks; ++b) {
      const size_t at = b / Panels::kParts * kAct32Dwords * W;
      fetch_share(ahead + at, kAct32Dwords * W * 4, half, 2);
      PairGrid<int32x4_t, W> dot = {};
      add_chunks<4, W>(w.chunks[b], act + at, dot);
      GM_PAIRS(const float32x4_t scale =
                   vmulq_f32(load_pair(w.d[b], i), token_scale<W>(act + at + 9 * W, t));
               acc.v[i][t] = vfmaq_f32(acc.v[i][t], scale, vcvtq_f32_s32(dot[i][t])))
      if constexpr (kHasMinima<Panel>) {
        GM_PAIRS(acc.v[i][t] = vfmaq_f32(acc.v[i][t], load_pair(w.m[b], i),
                                         token_scale<W>(act + at + 10 * W, t)))
      }
    }
    acc.store(sums);
  }
};

#undef GM_PAIRS

// The steps of linear.inl.h -> the same in pairs.
template <class Steps>
struct PairStepsOf {
  using Type = Steps;  // floats
};
template <class Panel>
struct PairStepsOf<Steps256<Panel>> {
  using Type = PairSteps256<Panel>;
};
template <class Panel>
struct PairStepsOf<Steps32<Panel>> {
  using Type = PairSteps32<Panel>;
};
