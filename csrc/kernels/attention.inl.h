// SPDX-License-Identifier: MIT
// Attention of the query heads that share KV head g, over pages of 64 positions, in chunks of 256
// positions combined in order: the chunk borders depend on positions alone, so neither the batch
// split nor the thread count can change a bit. Rows are (token, query head) pairs. Scores: a lane
// is a position (keys are stored transposed), sequential over D. Values: a lane is a channel,
// sequential over positions. Both run kAttentionRows rows at a time against one load of the page.
inline constexpr size_t kAttentionTile = 8;  // tokens per call
inline constexpr float kMasked = -3.0e38f;

inline size_t round_up_16(size_t n) { return (n + 15) / 16 * 16; }

// Pages are f16; when more row tiles than one read a page it is widened to f32 once.
inline F32x16 load_cached(const uint16_t* p) { return f_load_f16(p); }
inline F32x16 load_cached(const float* p) { return f_load(p); }

// Views into args.scratch for R rows.
struct AttentionScratch {
  float* page;    // one page of one head, widened: [64, Dp]
  float* scores;  // [R, 256]
  float* part;    // [R, Dp] sum over the chunk
  float* out;     // [R, Dp] sum so far
  float* max;     // [R]
  float* sum;     // [R]

  AttentionScratch(uint8_t* p, size_t R, size_t D) {
    const size_t Dp = round_up_16(D);
    page = reinterpret_cast<float*>(p);
    scores = page + kPagePositions * Dp;
    part = scores + R * kChunkPositions;
    out = part + R * Dp;
    max = out + R * Dp;
    sum = max + R;
  }
  static size_t bytes(size_t R, size_t D) {
    const size_t Dp = round_up_16(D);
    return (kPagePositions * Dp + R * (kChunkPositions + 2 * Dp + 2)) * sizeof(float) + 64;
  }
};

// One tile of rows of a call: row r = (token t0 + r / heads, query head g * heads + r % heads).
struct AttentionRows {
  const AttentionArgs& args;
  size_t g, t0, heads, R;
  size_t head_offset(size_t r) const { return (g * heads + r % heads) * args.D; }
  const float* q(size_t r) const {
    return args.q + (t0 + r / heads) * args.q_stride + head_offset(r);
  }
  float* out(size_t r) const {
    return args.out + (t0 + r / heads) * args.out_stride + head_offset(r);
  }
  // Positions [first, end) that row r sees.
  size_t end(size_t r) const { return static_cast<size_t>(args.positions[t0 + r / heads]) + 1; }
  size_t first(size_t r) const {
    return args.window != 0 && end(r) > args.window ? end(r) - args.window : 0;
  }
};

// scores[r, 0..64) of rows [r0, r0 + N) against one page: k is [D][64] of head g.
template <size_t N, class Value>
inline void score_page(const AttentionRows& rows, size_t r0, const Value* k, float* scores) {
  const F32x16 scale = f_set1(rows.args.scale);
  const float* q[N];
  GM_UNROLL(6)
  for (size_t r = 0; r < N; ++r) q[r] = rows.q(r0 + r);
  constexpr size_t kVectors = N * 4 <= 24 && kAttentionRows > 1 ? 4 : 2;
  for (size_t s = 0; s < kPagePositions; s += 16 * kVectors) {
    F32x16 acc[N][kVectors];
    GM_UNROLL(6)
    for (size_t r = 0; r < N; ++r) {
      GM_UNROLL(4)
      for (size_t v = 0; v < kVectors; ++v) acc[r][v] = f_zero();
    }
    for (size_t d = 0; d < rows.args.D; ++d) {
      F32x16 key[kVectors];
      GM_UNROLL(4)
      for (size_t v = 0; v < kVectors; ++v)
        key[v] = load_cached(k + d * kPagePositions + s + 16 * v);
      GM_UNROLL(6)
      for (size_t r = 0; r < N; ++r) {
        GM_UNROLL(4)
        for (size_t v = 0; v < kVectors; ++v) acc[r][v] = f_fma(f_set1(q[r][d]), key[v], acc[r][v]);
      }
    }
    GM_UNROLL(6)
    for (size_t r = 0; r < N; ++r) {
      GM_UNROLL(4)
      for (size_t v = 0; v < kVectors; ++v)
        f_store(scores + r * kChunkPositions + s + 16 * v, f_mul(acc[r][v], scale));
    }
  }
}

// part[r, c..c + 16 V) += sum over the first n positions of a page of weights[r, p] * v[p, ...]; v
// is [64][D] of head g. `first`: the chunk begins here, part starts from zero.
template <size_t N, size_t V, class Value>
inline void weigh_columns(const Value* v, size_t D, size_t n, bool first, const float* weights,
                          size_t c, float* part) {
  const size_t Dp = round_up_16(D);
  F32x16 acc[N][V];
  GM_UNROLL(6)
  for (size_t r = 0; r < N; ++r) {
    GM_UNROLL(4)
    for (size_t i = 0; i < V; ++i)
      acc[r][i] = first ? f_zero() : f_load(part + r * Dp + c + 16 * i);
  }
  for (size_t p = 0; p < n; ++p) {
    F32x16 value[V];
    GM_UNROLL(4)
    for (size_t i = 0; i < V; ++i) value[i] = load_cached(v + p * D + c + 16 * i);
    GM_UNROLL(6)
    for (size_t r = 0; r < N; ++r) {
      GM_UNROLL(4)
      for (size_t i = 0; i < V; ++i)
        acc[r][i] = f_fma(f_set1(weights[r * kChunkPositions + p]), value[i], acc[r][i]);
    }
  }
  GM_UNROLL(6)
  for (size_t r = 0; r < N; ++r) {
    GM_UNROLL(4)
    for (size_t i = 0; i < V; ++i) f_store(part + r * Dp + c + 16 * i, acc[r][i]);
  }
}

template <size_t N, class Value>
inline void weigh_page(const Value* v, size_t D, size_t n, bool first, const float* weights,
                       float* part) {
  constexpr size_t kVectors = kAttentionRows > 1 ? 4 : 2;
  size_t c = 0;
  for (; c + 16 * kVectors <= D; c += 16 * kVectors)
    weigh_columns<N, kVectors>(v, D, n, first, weights, c, part);
  for (; c < D; c += 16) weigh_columns<N, 1>(v, D, n, first, weights, c, part);
}

// scores -> weights e^(s - max) for the first n positions of a chunk, of which the row sees [lo,
// hi); the others become 0, and zeros do not change a sum: n may be any bound that the tile shares.
inline void softmax_chunk(float* s, size_t lo, size_t hi, size_t n, float& max, float& sum) {
  const size_t end = round_up_16(n);
  for (size_t p = 0; p < lo; ++p) s[p] = kMasked;
  for (size_t p = hi; p < end; ++p) s[p] = kMasked;
  F32x16 best = f_load(s);
  for (size_t p = 16; p < end; p += 16) best = f_max(best, f_load(s + p));
  max = f_reduce_max(best);
  F32x16 total = f_zero();
  for (size_t p = 0; p < end; p += 16) {
    const F32x16 e = f_exp(f_sub(f_load(s + p), f_set1(max)));
    f_store(s + p, e);
    total = f_add(total, e);
  }
  sum = f_reduce_add(total);
}

inline float exp_scalar(float x) {
  alignas(64) float v[16];
  f_store(v, f_exp(f_set1(x)));
  return v[0];
}

// Adds a chunk's (max, sum, part) to the running (max, sum, out) of one row.
inline void combine_chunk(float chunk_max, float chunk_sum, const float* part, size_t Dp,
                          bool first, float& max, float& sum, float* out) {
  if (first) {
    max = chunk_max;
    sum = chunk_sum;
    std::memcpy(out, part, Dp * sizeof(float));
    return;
  }
  const float top = max > chunk_max ? max : chunk_max;
  const float keep = exp_scalar(max - top), add = exp_scalar(chunk_max - top);
  max = top;
  sum = sum * keep + chunk_sum * add;
  for (size_t c = 0; c < Dp; c += 16)
    f_store(out + c, f_fma(f_load(part + c), f_set1(add), f_mul(f_load(out + c), f_set1(keep))));
}

// Calls step(N) with the largest register tiles that cover R rows: kAttentionRows, then 1.
template <template <size_t> class Step, class... Args>
inline void for_row_tiles(size_t R, Args&&... a) {
  size_t r = 0;
  for (; r + kAttentionRows <= R; r += kAttentionRows) Step<kAttentionRows>::run(r, a...);
  if constexpr (kAttentionRows >= 4)
    for (; r + 4 <= R; r += 4) Step<4>::run(r, a...);
  if constexpr (kAttentionRows >= 2)
    for (; r + 2 <= R; r += 2) Step<2>::run(r, a...);
  for (; r < R; ++r) Step<1>::run(r, a...);
}

// One page of a chunk: positions [64 page, 64 page + n) of head g; at = its offset in the chunk.
template <class Value>
struct PageOfChunk {
  const AttentionRows& rows;
  const AttentionScratch& scratch;
  const Value* values;
  size_t at, n;
};

template <size_t N>
struct ScoreStep {
  template <class Page>
  static void run(size_t r, const Page& p) {
    score_page<N>(p.rows, r, p.values, p.scratch.scores + r * kChunkPositions + p.at);
  }
};

template <size_t N>
struct WeighStep {
  template <class Page>
  static void run(size_t r, const Page& p) {
    const size_t D = p.rows.args.D;
    weigh_page<N>(p.values, D, p.n, p.at == 0, p.scratch.scores + r * kChunkPositions + p.at,
                  p.scratch.part + r * round_up_16(D));
  }
};

// Runs Step over the row tiles of each page that holds the first n positions of a chunk: a page is
// read from L1 by all rows before the next one comes.
template <template <size_t> class Step>
inline void for_pages(const AttentionRows& rows, const AttentionScratch& s,
                      const uint16_t* const* pages, size_t chunk, size_t n) {
  const size_t head_values = rows.args.D * kPagePositions;
  for (size_t at = 0; at < n; at += kPagePositions) {
    const size_t left = n - at < kPagePositions ? n - at : kPagePositions;
    const uint16_t* half =
        pages[(chunk * kChunkPositions + at) / kPagePositions] + rows.g * head_values;
    if (rows.R <= kAttentionRows) {
      for_row_tiles<Step>(rows.R, PageOfChunk<uint16_t>{rows, s, half, at, left});
      continue;
    }
    for (size_t i = 0; i < head_values; i += 16) f_store(s.page + i, f_load_f16(half + i));
    for_row_tiles<Step>(rows.R, PageOfChunk<float>{rows, s, s.page, at, left});
  }
}

// A chunk for all rows of the tile.
inline void attend_chunk(const AttentionRows& rows, size_t chunk, const AttentionScratch& s,
                         bool* started) {
  const size_t start = chunk * kChunkPositions;
  const size_t left = rows.end(rows.R - 1) - start;
  const size_t n = left < kChunkPositions ? left : kChunkPositions;
  const size_t Dp = round_up_16(rows.args.D);
  for_pages<ScoreStep>(rows, s, rows.args.k_pages, chunk, n);
  float max[kAttentionTile * kMaxGroup], sum[kAttentionTile * kMaxGroup];
  for (size_t r = 0; r < rows.R; ++r) {
    const size_t lo = rows.first(r) > start ? rows.first(r) - start : 0;
    const size_t hi = rows.end(r) > start ? rows.end(r) - start : 0;
    softmax_chunk(s.scores + r * kChunkPositions, lo < n ? lo : n, hi < n ? hi : n, n, max[r],
                  sum[r]);
  }
  for_pages<WeighStep>(rows, s, rows.args.v_pages, chunk, n);
  for (size_t r = 0; r < rows.R; ++r) {
    if (rows.end(r) <= start || rows.first(r) >= start + kChunkPositions) continue;  // sees nothing
    combine_chunk(max[r], sum[r], s.part + r * Dp, Dp, !started[r], s.max[r], s.sum[r],
                  s.out + r * Dp);
    started[r] = true;
  }
}

void attention(const AttentionArgs& args, size_t g, size_t t0, size_t t1) noexcept {
  const size_t heads = args.H / args.G;
  const AttentionRows rows{args, g, t0, heads, (t1 - t0) * heads};
  const AttentionScratch s(args.scratch, rows.R, args.D);
  bool started[kAttentionTile * kMaxGroup] = {};
  for (size_t chunk = rows.first(0) / kChunkPositions;
       chunk * kChunkPositions < rows.end(rows.R - 1); ++chunk)
    attend_chunk(rows, chunk, s, started);
  const size_t Dp = round_up_16(args.D);
  for (size_t r = 0; r < rows.R; ++r) {
    const F32x16 inverse = f_set1(1.0f / s.sum[r]);
    for (size_t c = 0; c < args.D; c += 16) {
      const size_t n = args.D - c < 16 ? args.D - c : 16;
      const F32x16 y = f_mul(f_load(s.out + r * Dp + c), inverse);
      if (n == 16) {
        f_store(rows.out(r) + c, y);
      } else {
        f_store_partial(rows.out(r) + c, n, y);
      }
    }
  }
}

size_t attention_scratch_bytes(size_t H, size_t G, size_t D) noexcept {
  return AttentionScratch::bytes(kAttentionTile * (H / G), D);
}
