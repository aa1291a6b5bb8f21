// SPDX-License-Identifier: MIT
// Attention over f16 pages. A score is the sum over channels, in order, of FMAs in f32 of the
// scaled query with the key; a value sum runs over the positions of the chunk, in order. When more
// than one register tile of rows reads a page it is widened to f32 once.
inline F32x16 load_cached(const uint16_t* p) { return f_load_f16(p); }
inline F32x16 load_cached(const float* p) { return f_load(p); }

// Vectors of a register tile of N rows: few rows need more of them to keep the FMA units busy.
template <size_t N>
inline constexpr size_t kTileVectors = N <= 2 && kAttentionRows > 2 ? 4 : 2;

// scores[r, 0..n) of N rows, q [D][N], against one page: k is [D][64].
template <size_t N, class Value>
inline void score_page(const float* q, size_t D, const Value* k, size_t n, Ahead& pages,
                       float* scores) {
  constexpr size_t V = kTileVectors<N>;
  Ahead ahead = pages;  // in registers
  for (size_t s = 0; s < n; s += 16 * V) {
    F32x16 acc[N][V];
    GM_UNROLL(12)
    for (size_t r = 0; r < N; ++r) {
      GM_UNROLL(4)
      for (size_t v = 0; v < V; ++v) acc[r][v] = f_zero();
    }
    for (size_t d = 0; d < D; ++d) {
      F32x16 key[V];
      GM_UNROLL(4)
      for (size_t v = 0; v < V; ++v) key[v] = load_cached(k + d * kPagePositions + s + 16 * v);
      GM_UNROLL(2)
      for (size_t v = 0; v < V; v += 2) ahead.step();
      GM_UNROLL(12)
      for (size_t r = 0; r < N; ++r) {
        GM_UNROLL(4)
        for (size_t v = 0; v < V; ++v) acc[r][v] = f_fma(f_set1(q[d * N + r]), key[v], acc[r][v]);
      }
    }
    GM_UNROLL(12)
    for (size_t r = 0; r < N; ++r) {
      GM_UNROLL(4)
      for (size_t v = 0; v < V; ++v) f_store(scores + r * kScoreStride + s + 16 * v, acc[r][v]);
    }
  }
  pages = ahead;
}

// part[r, c..c + 16 V) += sum over the first n positions of a page of weights[r, p] * v[p, ...]; v
// is [64][D]. `first`: the chunk begins here, part starts from zero.
template <size_t N, size_t V, class Value>
inline void weigh_columns(const Value* v, size_t D, size_t n, bool first, const float* weights,
                          size_t c, Ahead& pages, float* part) {
  const size_t Dp = round_up(D, 16);
  Ahead ahead = pages;  // in registers
  F32x16 acc[N][V];
  GM_UNROLL(12)
  for (size_t r = 0; r < N; ++r) {
    GM_UNROLL(4)
    for (size_t i = 0; i < V; ++i)
      acc[r][i] = first ? f_zero() : f_load(part + r * Dp + c + 16 * i);
  }
  for (size_t p = 0; p < n; ++p) {
    F32x16 value[V];
    GM_UNROLL(4)
    for (size_t i = 0; i < V; ++i) value[i] = load_cached(v + p * D + c + 16 * i);
    GM_UNROLL(2)
    for (size_t i = 0; i < V; i += 2) ahead.step();
    GM_UNROLL(12)
    for (size_t r = 0; r < N; ++r) {
      GM_UNROLL(4)
      for (size_t i = 0; i < V; ++i)
        acc[r][i] = f_fma(f_set1(weights[r * kScoreStride + p]), value[i], acc[r][i]);
    }
  }
  GM_UNROLL(12)
  for (size_t r = 0; r < N; ++r) {
    GM_UNROLL(4)
    for (size_t i = 0; i < V; ++i) f_store(part + r * Dp + c + 16 * i, acc[r][i]);
  }
  pages = ahead;
}

template <size_t N, class Value>
inline void weigh_page(const Value* v, size_t D, size_t n, bool first, const float* weights,
                       Ahead& ahead, float* part) {
  constexpr size_t V = kTileVectors<N>;
  size_t c = 0;
  for (; c + 16 * V <= D; c += 16 * V) weigh_columns<N, V>(v, D, n, first, weights, c, ahead, part);
  for (; c < D; c += 16) weigh_columns<N, 1>(v, D, n, first, weights, c, ahead, part);
}

class F16Core {
 public:
  F16Core(const AttentionRows& rows, Carver& carver) : rows_(rows), m_(carve(carver, rows.R, D())) {
    const float scale = rows.args.scale * kLog2E;
    for_row_tiles(rows.R, [&]<size_t N>(size_t r0) {
      for (size_t r = 0; r < N; ++r)
        for (size_t d = 0; d < D(); ++d) m_.q[r0 * D() + d * N + r] = rows.q(r0 + r)[d] * scale;
    });
  }

  void score(const ChunkSpan& span, const AttentionScratch& s) {
    for_k_pages(rows_, head_bytes(), span, [&](const PageView& page, Ahead ahead) {
      with_values(page, [&](const auto* k) {
        for_row_tiles(rows_.R, [&]<size_t N>(size_t r) {
          score_page<N>(m_.q + r * D(), D(), k, page.n, ahead,
                        s.scores + r * kScoreStride + page.at);
        });
      });
    });
  }
  void weigh(const ChunkSpan& span, const AttentionScratch& s) {
    for_v_pages(rows_, head_bytes(), span, [&](const PageView& page, Ahead ahead) {
      with_values(page, [&](const auto* v) {
        for_row_tiles(rows_.R, [&]<size_t N>(size_t r) {
          weigh_page<N>(v, D(), page.n, page.first, s.scores + r * kScoreStride + page.at, ahead,
                        s.part + r * round_up(D(), 16));
        });
      });
    });
  }

  struct Memory {
    float* q;     // [R, D] queries times scale; those of a register tile side by side
    float* page;  // [64, D] widened, and the vector that its last row is read with
  };
  static Memory carve(Carver& carver, size_t R, size_t D) {
    return {carver.take<float>(R * D), carver.take<float>(kPagePositions * D + 16)};
  }

 private:
  size_t D() const { return rows_.args.D; }
  size_t head_bytes() const { return kv_head_bytes(KvType::F16, D()); }
  // f(the page's values): as they lie there for one register tile, else widened.
  template <class F>
  void with_values(const PageView& page, F&& f) const {
    const auto* half = reinterpret_cast<const uint16_t*>(page.data);
    if (rows_.R <= 2 || (rows_.R <= kAttentionRows && rows_.R % 4 == 0)) return f(half);
    for (size_t i = 0; i < kPagePositions * D(); i += 16)
      f_store(m_.page + i, f_load_f16(half + i));
    f(static_cast<const float*>(m_.page));
  }

  const AttentionRows& rows_;
  Memory m_;
};
