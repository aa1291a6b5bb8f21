// SPDX-License-Identifier: MIT
// Attention over quantized pages, in exact integers. In scalar terms, for a row q, position p:
//   query   x = q * (scale * log2 e); per 32 channels b: qd_b = absmax / 127, qi = rne(x / qd_b)
//   score   s = 0; for b in order: s = fma(kd[b, p] * qd_b, float(sum of qi * ki[p]), s)
//   weight  e_p = 2^(s_p - max over the chunk); their sum stays in f32
//   value   the scale of V differs from position to position, so it goes into the weight:
//           w_p = e_p * vd[b, p]; per chunk W_b = max |w_p| / 32767, wi_p = rne(w_p / W_b)
//           part[c] = W_b * float(sum over the chunk of wi_p * vi[p, c])
// Weights have 15 bits and not 7: e_p falls off over many orders of magnitude, and with 7 bits the
// tail of a chunk rounds to zero (3 to 15 times the error that Q8_0 values themselves bring).
// |sum| <= 256 * 32767 * 127 < 2^31.
inline constexpr float kWeightMax = 32767.0f;

inline constexpr size_t kPairs = kChunkPositions / 2;

// Dwords of a quantized query: an activation in blocks of 32 (formats/activation.h).
inline size_t query_dwords(size_t D) { return D / kKvBlock * kAct32Dwords; }

// Pages of packed values -> lines that the dot products take. K: [D/4][64] dwords of 4 channels;
// V: [D/16][32][16] int16 pairs of two positions. n: only so many positions are wanted.
template <KvType type>
struct KvLines;

template <>
struct KvLines<KvType::Q8_0> {
  static void k(const uint8_t* page, size_t D, size_t n, uint8_t* out) {
    for (size_t row = 0; row < D * kPagePositions; row += 4 * kPagePositions)
      for (size_t i = row; i < row + 4 * n; i += 64) b_store(out + i, s8_operand(b_load(page + i)));
  }
  static Bytes64 v(const uint8_t* page, size_t columns, size_t i) {
    return b_load(page + (columns * 16 + i) * 64);
  }
};

template <>
struct KvLines<KvType::Q4_0> {
  static Bytes64 low(Bytes64 x) { return b_sub(b_and(x, b_set1(0x0f)), b_set1(8)); }
  static Bytes64 high(Bytes64 x) { return low(b_shr<4>(x)); }
  static void k(const uint8_t* page, size_t D, size_t n, uint8_t* out) {
    for (size_t row = 0; row < D / 2 * kPagePositions; row += 4 * kPagePositions) {
      for (size_t i = 0; i < 4 * n; i += 64) {
        const Bytes64 both = b_load(page + row + i);
        b_store(out + 2 * row + i, s8_operand(low(both)));
        b_store(out + 2 * row + 4 * kPagePositions + i, s8_operand(high(both)));
      }
    }
  }
  static Bytes64 v(const uint8_t* page, size_t columns, size_t i) {
    const Bytes64 both = b_load(page + (columns / 2 * 16 + i) * 64);
    return columns % 2 == 0 ? low(both) : high(both);
  }
};

// scores[r, 0..n) of a tile of N quantized queries against the lines of one page and its scales
// [D/32][64].
template <size_t N>
inline void score_lines(const uint32_t* q, size_t D, const uint8_t* lines, const float* scales,
                        size_t n, Ahead& pages, float* scores) {
  constexpr size_t V = kTileVectors<N>;
  Ahead ahead = pages;  // in registers
  for (size_t s = 0; s < n; s += 16 * V) {
    for (size_t b = 0; b < D / kKvBlock; ++b) {
      const uint32_t* block = q + b * kAct32Dwords * N;
      I32x16 dot[N][V];
      GM_UNROLL(12)
      for (size_t r = 0; r < N; ++r) {
        GM_UNROLL(4)
        for (size_t v = 0; v < V; ++v)
          dot[r][v] = kS8Bias != 0 ? i_broadcast(block + 8 * N + r) : i_zero();
      }
      for (size_t j = 0; j < 8; ++j) {
        Bytes64 key[V];
        GM_UNROLL(4)
        for (size_t v = 0; v < V; ++v)
          key[v] = b_load(lines + ((b * 8 + j) * kPagePositions + s + 16 * v) * 4);
        GM_UNROLL(3)
        for (size_t i = 0; i < 3; ++i) ahead.step();
        GM_UNROLL(12)
        for (size_t r = 0; r < N; ++r) {
          const I32x16 a = i_broadcast(block + j * N + r);
          GM_UNROLL(4)
          for (size_t v = 0; v < V; ++v) dot[r][v] = dot_s8(dot[r][v], key[v], a);
        }
      }
      GM_UNROLL(4)
      for (size_t v = 0; v < V; ++v) {
        const F32x16 scale = f_load(scales + b * kPagePositions + s + 16 * v);
        GM_UNROLL(12)
        for (size_t r = 0; r < N; ++r) {
          float* out = scores + r * kScoreStride + s + 16 * v;
          const F32x16 d = f_mul(scale, f_broadcast(block + 9 * N + r));
          f_store(out, f_fma(d, f_from_i32(dot[r][v]), b == 0 ? f_zero() : f_load(out)));
        }
      }
    }
  }
  pages = ahead;
}

// wi of the positions [from, end) of a chunk for one block of channels, e and its V scales given;
// pairs[i] holds two positions as V lines do. Returns W.
inline float quantize_weights(const float* e, const float* scales, size_t from, size_t end,
                              uint32_t* pairs) {
  F32x16 best = f_zero();
  for (size_t p = from; p < end; p += 16)
    best = f_max(best, f_abs(f_mul(f_load(e + p), f_load(scales + p))));
  const float top = f_reduce_max(best);
  const bool some = top >= 1e-30f && top <= 3e38f;
  const F32x16 inverse = f_set1(some ? kWeightMax / top : 0.0f);
  const auto rounded = [&](size_t p) {
    const F32x16 w = f_mul(f_load(e + p), f_load(scales + p));
    return i_bits(f_fma(w, inverse, f_set1(kRoundMagic)));
  };
  for (size_t p = from; p < end; p += 32)
    i_store(pairs + p / 2, i_pair16(rounded(p), rounded(p + 16)));
  return some ? top / kWeightMax : 0.0f;
}

// part[r, b, 0..32) += sum over `count` lines of pairs; the weights of N rows, 128 dwords apart,
// and of block b, block_stride dwords further, begin at the page.
template <size_t N>
inline void weigh_lines(const uint32_t* weights, size_t block_stride, size_t D,
                        const uint8_t* lines, size_t count, bool first, Ahead& pages,
                        int32_t* part) {
  Ahead ahead = pages;  // in registers
  for (size_t b = 0; b < D / kKvBlock; ++b) {
    I32x16 acc[N][2];
    GM_UNROLL(12)
    for (size_t r = 0; r < N; ++r) {
      GM_UNROLL(2)
      for (size_t v = 0; v < 2; ++v)
        acc[r][v] = first ? i_zero() : i_load(part + r * D + b * kKvBlock + 16 * v);
    }
    for (size_t i = 0; i < count; ++i) {
      I32x16 value[2];
      GM_UNROLL(2)
      for (size_t v = 0; v < 2; ++v)
        value[v] = i_load(lines + ((b * 2 + v) * kPagePositions / 2 + i) * 64);
      GM_UNROLL(2)
      for (size_t v = 0; v < 2; ++v) ahead.step();
      GM_UNROLL(12)
      for (size_t r = 0; r < N; ++r) {
        const I32x16 w = i_broadcast(weights + b * block_stride + r * kPairs + i);
        GM_UNROLL(2)
        for (size_t v = 0; v < 2; ++v) acc[r][v] = dot_s16(acc[r][v], value[v], w);
      }
    }
    GM_UNROLL(12)
    for (size_t r = 0; r < N; ++r) {
      GM_UNROLL(2)
      for (size_t v = 0; v < 2; ++v) i_store(part + r * D + b * kKvBlock + 16 * v, acc[r][v]);
    }
  }
  pages = ahead;
}

template <KvType type>
class IntCore {
 public:
  IntCore(const AttentionRows& rows, Carver& carver) : rows_(rows), m_(carve(carver, rows.R, D())) {
    const float scale = rows.args.scale * kLog2E;
    for_row_tiles(rows.R, [&]<size_t N>(size_t r0) {
      for (size_t r = 0; r < N; ++r) {
        for (size_t d = 0; d < D(); ++d) m_.row[d] = rows.q(r0 + r)[d] * scale;
        quantize_row_32(m_.row, D(), m_.q + r0 * query_dwords(D()), N, r);
      }
    });
  }

  void score(const ChunkSpan& span, const AttentionScratch& s) {
    for_k_pages(rows_, kv_head_bytes(type, D()), span, [&](const PageView& page, Ahead ahead) {
      KvLines<type>::k(page.data, D(), round_up(page.n, 32), m_.lines);
      widen_scales(page.data, m_.k_scales, kPagePositions);
      for_row_tiles(rows_.R, [&]<size_t N>(size_t r) {
        score_lines<N>(m_.q + r * query_dwords(D()), D(), m_.lines, m_.k_scales, page.n, ahead,
                       s.scores + r * kScoreStride + page.at);
      });
    });
  }

  void weigh(const ChunkSpan& span, const AttentionScratch& s) {
    const size_t blocks = D() / kKvBlock;
    for_v_pages(rows_, kv_head_bytes(type, D()), span, [&](const PageView& page, Ahead) {
      widen_scales(page.data, m_.v_scales + page.at, kChunkPositions);
    });
    for (size_t r = 0; r < rows_.R; ++r)
      for (size_t b = 0; b < blocks; ++b)
        m_.weight_scales[r * blocks + b] = quantize_weights(
            s.scores + r * kScoreStride, m_.v_scales + b * kChunkPositions, span.from,
            round_up(span.n, 32), m_.weights + (b * rows_.R + r) * kPairs);

    auto* sums = reinterpret_cast<int32_t*>(s.part);
    for_v_pages(rows_, kv_head_bytes(type, D()), span, [&](const PageView& page, Ahead ahead) {
      const size_t count = page.n > kPagePositions / 2 ? kPagePositions / 2 : kPagePositions / 4;
      widen_v(page.data, count);
      for_row_tiles(rows_.R, [&]<size_t N>(size_t r) {
        weigh_lines<N>(m_.weights + r * kPairs + page.at / 2, rows_.R * kPairs, D(), m_.lines,
                       count, page.first, ahead, sums + r * D());
      });
    });
    for (size_t r = 0; r < rows_.R; ++r)
      for (size_t c = 0; c < D(); c += 16)
        f_store(s.part + r * D() + c, f_mul(f_from_i32(i_load(sums + r * D() + c)),
                                            f_set1(m_.weight_scales[r * blocks + c / kKvBlock])));
  }

  struct Memory {
    float* row;            // [D] one query times scale
    uint32_t* q;           // [R, query_dwords]; those of a register tile side by side
    uint8_t* lines;        // [128 D] lines of one page
    float* k_scales;       // [D/32, 64]
    float* v_scales;       // [D/32, 256]
    uint32_t* weights;     // [D/32, R, 128] int16 pairs
    float* weight_scales;  // [R, D/32] W
  };
  static Memory carve(Carver& carver, size_t R, size_t D) {
    const size_t blocks = D / kKvBlock;
    return {carver.take<float>(D),
            carver.take<uint32_t>(R * query_dwords(D)),
            carver.take<uint8_t>(kPagePositions * D * sizeof(int16_t)),
            carver.take<float>(blocks * kPagePositions),
            carver.take<float>(blocks * kChunkPositions),
            carver.take<uint32_t>(R * blocks * kPairs),
            carver.take<float>(R * blocks)};
  }

 private:
  size_t D() const { return rows_.args.D; }
  void widen_scales(const uint8_t* page, float* out, size_t stride) const {
    const auto* half = reinterpret_cast<const uint16_t*>(page + kv_value_bytes(type, D()));
    for (size_t b = 0; b < D() / kKvBlock; ++b)
      for (size_t p = 0; p < kPagePositions; p += 16)
        f_store(out + b * stride + p, f_load_f16(half + b * kPagePositions + p));
  }
  void widen_v(const uint8_t* page, size_t count) const {
    for (size_t columns = 0; columns < D() / 16; ++columns) {
      uint8_t* out = m_.lines + columns * kPagePositions / 2 * 64;
      for (size_t i = 0; i < 16; ++i) {
        const Bytes64 line = KvLines<type>::v(page, columns, i);
        i_store(out + i * 64, i_even_s8(line));
        if (count > 16) i_store(out + (16 + i) * 64, i_odd_s8(line));
      }
    }
  }

  const AttentionRows& rows_;
  Memory m_;
};

size_t attention_scratch_bytes(KvType type, size_t H, size_t G, size_t D) noexcept {
  switch (type) {
    case KvType::Q8_0:
      return attention_bytes<IntCore<KvType::Q8_0>>(H / G, D);
    case KvType::Q4_0:
      return attention_bytes<IntCore<KvType::Q4_0>>(H / G, D);
    default:
      return attention_bytes<F16Core>(H / G, D);
  }
}
