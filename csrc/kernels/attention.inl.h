// SPDX-License-Identifier: MIT
// Attention of the query heads that share KV head g, over pages of 64 positions, in chunks of 256
// positions combined in order: the chunk borders depend on positions alone, so neither the batch
// split nor the thread count can change a bit. Rows are (token, query head) pairs; a page is read
// once for all rows of a call. The softmax is to base 2: log2 e is part of the query's scale. What
// a page holds and how it is multiplied is the Core: attention_f16.inl.h, attention_int.inl.h.
inline constexpr size_t kMaxRows =
    kMaxGroup > kAttentionTileRows ? size_t{kMaxGroup} : kAttentionTileRows;
// Floats from row to row of scores: 1 KiB would put a page of all rows into a few sets of the L1.
inline constexpr size_t kScoreStride = kChunkPositions + 16;
inline constexpr float kMasked = -3.0e38f;
inline constexpr float kLog2E = 1.44269504f;

inline size_t round_up(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Cuts scratch memory into arrays at cache line borders; from null it measures.
struct Carver {
  uint8_t* base;
  size_t used = 0;
  template <class T>
  T* take(size_t count) {
    T* p = base == nullptr ? nullptr : reinterpret_cast<T*>(base + used);
    used = round_up(used + count * sizeof(T), 64);
    return p;
  }
};

struct AttentionScratch {
  float* scores;  // [R, kScoreStride] scores, then weights
  float* part;    // [R, Dp] sum over the chunk
  float* out;     // [R, Dp] sum so far
  float* max;     // [R] of the chunks so far
  float* sum;     // [R]
  AttentionScratch(Carver& carver, size_t R, size_t D)
      : scores(carver.take<float>(R * kScoreStride)),
        part(carver.take<float>(R * round_up(D, 16))),
        out(carver.take<float>(R * round_up(D, 16))),
        max(carver.take<float>(R)),
        sum(carver.take<float>(R)) {}
};

// The rows of a call: r = (token t0 + r / heads, query head g * heads + r % heads).
struct AttentionRows {
  const AttentionArgs& args;
  size_t g, t0, heads, R;
  size_t token(size_t r) const { return t0 + r / heads; }
  size_t head(size_t r) const { return g * heads + r % heads; }
  const float* q(size_t r) const { return args.q + token(r) * args.q_stride + head(r) * args.D; }
  float* out(size_t r) const { return args.out + token(r) * args.out_stride + head(r) * args.D; }
  // Positions [first, end) that row r sees.
  size_t position(size_t r) const { return static_cast<size_t>(args.positions[token(r)]); }
  size_t end(size_t r) const {
    const size_t causal = position(r) + 1;
    if (args.length == 0) return causal;
    const size_t ahead = causal + args.window / 2;
    return args.window != 0 && ahead < args.length ? ahead : args.length;
  }
  size_t first(size_t r) const {
    const size_t back = args.length != 0 ? args.window / 2 + 1 : args.window;
    return args.window != 0 && position(r) + 1 > back ? position(r) + 1 - back : 0;
  }
};

// The part of a chunk that the rows of a call see between them: pages from `from` on, n positions.
struct ChunkSpan {
  size_t chunk, from, n;
  bool last;  // no chunk follows in this call
  size_t page(size_t at) const { return (chunk * kChunkPositions + at) / kPagePositions; }
};

// Memory that will be read next, fetched a line at a time while the present page is worked on: a
// page is too short for the hardware to see a stream in it.
struct Ahead {
  const uint8_t *at, *end;
  void step() {
    if (at >= end) return;
    __builtin_prefetch(at);
    at += 64;
  }
};

// One page of one head: positions [at, at + n) of the chunk.
struct PageView {
  const uint8_t* data;
  size_t at, n;
  bool first;  // of the chunk
};

// f(page, ahead) for the pages of a chunk; `after` is what is read when they are done.
template <class F>
inline void for_pages(const uint8_t* const* pages, size_t head_offset, size_t head_bytes,
                      const ChunkSpan& span, const uint8_t* after, F&& f) {
  for (size_t at = span.from; at < span.n; at += kPagePositions) {
    const size_t left = span.n - at < kPagePositions ? span.n - at : kPagePositions;
    const uint8_t* const* page = pages + span.page(at);
    const uint8_t* next = at + kPagePositions < span.n ? page[1] + head_offset : after;
    f(PageView{page[0] + head_offset, at, left, at == span.from}, Ahead{next, next + head_bytes});
  }
}

// K pages, after which the V pages of the same chunk are read, and V pages, after which the K
// pages of the next chunk are.
template <class F>
inline void for_k_pages(const AttentionRows& rows, size_t head_bytes, const ChunkSpan& span,
                        F&& f) {
  const size_t offset = rows.g * head_bytes;
  for_pages(rows.args.k_pages, offset, head_bytes, span,
            rows.args.v_pages[span.page(span.from)] + offset, f);
}
template <class F>
inline void for_v_pages(const AttentionRows& rows, size_t head_bytes, const ChunkSpan& span,
                        F&& f) {
  const size_t offset = rows.g * head_bytes;
  const uint8_t* after = span.last ? rows.args.v_pages[span.page(span.from)]
                                   : rows.args.k_pages[span.page(kChunkPositions)];
  for_pages(rows.args.v_pages, offset, head_bytes, span, after + offset, f);
}

// Calls f.operator()<N>(r) for register tiles of N rows that cover R, the largest first.
template <class F>
inline void for_row_tiles(size_t R, F&& f) {
  size_t r = 0;
  for (; r + kAttentionRows <= R; r += kAttentionRows) f.template operator()<kAttentionRows>(r);
  if constexpr (kAttentionRows > 8)
    for (; r + 8 <= R; r += 8) f.template operator()<8>(r);
  if constexpr (kAttentionRows > 4)
    for (; r + 4 <= R; r += 4) f.template operator()<4>(r);
  if constexpr (kAttentionRows > 2)
    for (; r + 2 <= R; r += 2) f.template operator()<2>(r);
  for (; r < R; ++r) f.template operator()<1>(r);
}

// scores -> weights 2^(s - max) for the first n positions of a chunk, of which the row sees [lo,
// hi); the others, up to whole runs of 32, become 0, and zeros do not change a sum: n may be any
// bound that the call shares. Scores below `from` were not computed.
inline void softmax_chunk(float* s, size_t from, size_t lo, size_t hi, size_t n, float& max,
                          float& sum) {
  const size_t end = round_up(n, 32);
  for (size_t p = from; p < lo; ++p) s[p] = kMasked;
  for (size_t p = hi > from ? hi : from; p < end; ++p) s[p] = kMasked;
  F32x16 best = f_set1(kMasked);
  for (size_t p = from; p < end; p += 16) best = f_max(best, f_load(s + p));
  max = f_reduce_max(best);
  const F32x16 top = f_set1(max);
  F32x16 total = f_zero();
  for (size_t p = from; p < end; p += 16) {
    const F32x16 e = f_exp2(f_sub(f_load(s + p), top));
    f_store(s + p, e);
    total = f_add(total, e);
  }
  sum = f_reduce_add(total);
}

inline float exp2_scalar(float x) {
  alignas(64) float v[16];
  f_store(v, f_exp2(f_set1(x)));
  return v[0];
}

// The running (max, sum, out) of one row, to which chunks are added in order.
struct RowState {
  float max, sum;
  float* out;  // [Dp]
  bool started = false;

  void add(float chunk_max, float chunk_sum, const float* part, size_t Dp) {
    if (!started) {
      max = chunk_max;
      sum = chunk_sum;
      std::memcpy(out, part, Dp * sizeof(float));
      started = true;
      return;
    }
    const float top = max > chunk_max ? max : chunk_max;
    const float keep = exp2_scalar(max - top), more = exp2_scalar(chunk_max - top);
    max = top;
    sum = sum * keep + chunk_sum * more;
    for (size_t c = 0; c < Dp; c += 16)
      f_store(out + c, f_fma(f_load(part + c), f_set1(more), f_mul(f_load(out + c), f_set1(keep))));
  }
  // sink: a score that takes its share of the weights, or null.
  void finish(float* y, size_t D, const float* sink) const {
    float keep = 1.0f, total = sum;
    if (sink != nullptr) {
      const float score = *sink * kLog2E, top = max > score ? max : score;
      keep = exp2_scalar(max - top);
      total = sum * keep + exp2_scalar(score - top);
    }
    const F32x16 inverse = f_set1(keep / total);
    for (size_t c = 0; c < D; c += 16) {
      const F32x16 x = f_mul(f_load(out + c), inverse);
      if (D - c < 16) {
        f_store_partial(y + c, D - c, x);
      } else {
        f_store(y + c, x);
      }
    }
  }
};

// The sink of head h, or null.
inline const float* sink_of(const AttentionArgs& args, size_t h) {
  return args.sinks == nullptr ? nullptr : args.sinks + h;
}

// Where chunk `chunk` of row (t, h) lies in args.parts.
inline float* part_of(const AttentionArgs& args, size_t t, size_t h, size_t chunk) {
  return args.parts + ((t * args.H + h) * args.part_chunks + chunk) * attention_part_floats(args.D);
}

// scores -> softcap * tanh(score / softcap), for scores to base 2.
inline void cap_scores(float* s, size_t from, size_t n, float softcap) {
  const F32x16 cap = f_set1(softcap * kLog2E), inverse = f_set1(1.0f / (softcap * kLog2E));
  for (size_t p = from; p < n; p += 16)
    f_store(s + p, f_mul(cap, f_tanh(f_mul(f_load(s + p), inverse))));
}

// A chunk for all rows: s.part, and its (max, sum) of each row.
template <class Core>
inline void attend_chunk(const AttentionRows& rows, const ChunkSpan& span, Core& core,
                         const AttentionScratch& s, float* max, float* sum) {
  const size_t start = span.chunk * kChunkPositions;
  const auto inside = [&](size_t position) {
    const size_t p = position > start ? position - start : 0;
    return p < span.n ? p : span.n;
  };
  core.score(span, s);
  for (size_t r = 0; rows.args.softcap != 0 && r < rows.R; ++r)
    cap_scores(s.scores + r * kScoreStride, span.from, span.n, rows.args.softcap);
  for (size_t r = 0; r < rows.R; ++r)
    softmax_chunk(s.scores + r * kScoreStride, span.from, inside(rows.first(r)),
                  inside(rows.end(r)), span.n, max[r], sum[r]);
  core.weigh(span, s);
}

template <class Core>
void attention(const AttentionArgs& args, const AttentionCut& cut) noexcept {
  const size_t heads = args.H / args.G, Dp = round_up(args.D, 16);
  const AttentionRows rows{args, cut.g, cut.t0, heads, (cut.t1 - cut.t0) * heads};
  Carver carver{args.scratch};
  const AttentionScratch s(carver, rows.R, args.D);
  Core core(rows, carver);
  RowState state[kMaxRows];
  for (size_t r = 0; r < rows.R; ++r) state[r].out = s.out + r * Dp;

  const size_t first = rows.first(0), end = rows.end(rows.R - 1);
  const size_t chunk0 = cut.whole ? first / kChunkPositions : cut.chunk0;
  const size_t chunk1 = cut.whole ? (end + kChunkPositions - 1) / kChunkPositions : cut.chunk1;
  for (size_t chunk = chunk0; chunk < chunk1; ++chunk) {
    const size_t start = chunk * kChunkPositions;
    const size_t from = first > start ? (first - start) / kPagePositions * kPagePositions : 0;
    const size_t n = end - start < kChunkPositions ? end - start : kChunkPositions;
    float max[kMaxRows], sum[kMaxRows];
    attend_chunk(rows, ChunkSpan{chunk, from, n, chunk + 1 == chunk1}, core, s, max, sum);
    for (size_t r = 0; r < rows.R; ++r) {
      if (rows.end(r) <= start || rows.first(r) >= start + kChunkPositions) continue;
      const float* part = s.part + r * Dp;
      if (cut.whole) {
        state[r].add(max[r], sum[r], part, Dp);
        continue;
      }
      float* kept = part_of(args, rows.token(r), rows.head(r), chunk);
      std::memcpy(kept, part, Dp * sizeof(float));
      kept[Dp] = max[r];
      kept[Dp + 1] = sum[r];
    }
  }
  for (size_t r = 0; cut.whole && r < rows.R; ++r)
    state[r].finish(rows.out(r), args.D, sink_of(args, rows.head(r)));
}

void attention_merge(const AttentionArgs& args, size_t row0, size_t row1) noexcept {
  const size_t Dp = round_up(args.D, 16);
  for (size_t row = row0; row < row1; ++row) {
    const size_t t = row / args.H, h = row % args.H;
    const AttentionRows rows{args, 0, t, args.H / args.G, 1};
    RowState state;
    state.out = reinterpret_cast<float*>(args.scratch);
    for (size_t chunk = rows.first(0) / kChunkPositions; chunk * kChunkPositions < rows.end(0);
         ++chunk) {
      const float* part = part_of(args, t, h, chunk);
      state.add(part[Dp], part[Dp + 1], part, Dp);
    }
    state.finish(args.out + t * args.out_stride + h * args.D, args.D, sink_of(args, h));
  }
}

template <class Core>
size_t attention_bytes(size_t heads, size_t D) {
  const size_t R = attention_tile(heads) * heads;
  Carver carver{nullptr};
  const AttentionScratch s(carver, R, D);
  Core::carve(carver, R, D);
  return carver.used;
}
