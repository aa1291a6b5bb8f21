// SPDX-License-Identifier: MIT
// What a mixture of experts needs besides products: routes, the activations of the tokens of one
// expert side by side, and the weighted sum of what a token's experts made. Each token is computed
// alone and in one order, so neither the batch nor the thread count changes a bit.

// In place, over whole vectors; -infinity becomes 0.
inline void softmax_row(float* row, size_t end) {
  F32x16 best = f_load(row);
  for (size_t e = 16; e < end; e += 16) best = f_max(f_load(row + e), best);
  const F32x16 top = f_set1(f_reduce_max(best));
  F32x16 total = f_zero();
  for (size_t e = 0; e < end; e += 16) {
    const F32x16 term = f_exp(f_sub(f_load(row + e), top));
    f_store(row + e, term);
    total = f_add(total, term);
  }
  const F32x16 sum = f_set1(f_reduce_add(total));
  for (size_t e = 0; e < end; e += 16) f_store(row + e, f_div(f_load(row + e), sum));
}

inline void fill_vector(float* row, size_t n) {
  for (; n % 16 != 0; ++n) row[n] = -__builtin_inff();
}

// Scores -> what experts are chosen by.
inline void gate_scores(const RouteArgs& args, const float* x) {
  float* row = args.row;
  std::memcpy(row, x, args.E * sizeof(float));
  fill_vector(row, args.E);
  const size_t end = (args.E + 15) / 16 * 16;
  if (args.gating == Gating::Softmax) softmax_row(row, end);
  if (args.gating != Gating::Sigmoid) return;
  const F32x16 one = f_set1(1.0f);
  for (size_t e = 0; e < end; e += 16)
    f_store(row + e, f_div(one, f_add(one, f_exp(f_sub(f_zero(), f_load(row + e))))));
}

// The ids of the best `used` by insertion: most scores are compared once, with the last of them.
inline void choose_experts(const RouteArgs& args, uint32_t* ids) {
  float keys[kMaxExpertsUsed];
  size_t count = 0;
  for (size_t e = 0; e < args.E; ++e) {
    float key = args.bias != nullptr ? args.row[e] + args.bias[e] : args.row[e];
    if (key != key) key = -__builtin_inff();
    if (count == args.used && !(key > keys[count - 1])) continue;
    size_t at = count < args.used ? count++ : count - 1;
    for (; at > 0 && key > keys[at - 1]; --at) {
      keys[at] = keys[at - 1];
      ids[at] = ids[at - 1];
    }
    keys[at] = key;
    ids[at] = static_cast<uint32_t>(e);
  }
}

void route(const RouteArgs& args, size_t t0, size_t t1) noexcept {
  for (size_t t = t0; t < t1; ++t) {
    uint32_t ids[kMaxExpertsUsed];
    alignas(64) float shares[kMaxExpertsUsed];
    gate_scores(args, args.x + t * args.stride);
    choose_experts(args, ids);
    float sum = 0.0f;
    for (size_t i = 0; i < args.used; ++i) {
      shares[i] = args.row[ids[i]];
      sum += shares[i];
    }
    if (args.gating == Gating::ChosenSoftmax) {
      fill_vector(shares, args.used);
      softmax_row(shares, (args.used + 15) / 16 * 16);
    } else if (args.normalise) {
      for (size_t i = 0; i < args.used; ++i) shares[i] /= sum > 1e-20f ? sum : 1e-20f;
    }
    float* out = args.routes + t * args.routes_stride;
    for (size_t i = 0; i < args.used; ++i) {
      out[i] = static_cast<float>(ids[i]);
      out[args.used + i] = shares[i] * args.scale;
    }
  }
}

// The place of token t among the tiles of T tokens.
struct Column {
  size_t t0, w, at;  // first token and width of its tile, column there
  Column(size_t t, size_t T) : t0(t / kMaxTile * kMaxTile) {
    for (w = tile_width(T - t0, kMaxTile); t >= t0 + w; w = tile_width(T - t0, kMaxTile)) t0 += w;
    at = t - t0;
  }
};

// A block is kValues dwords of quantized values, then kRest that lie column by column in any case.
template <size_t kValues, size_t kRest>
inline void copy_column(const uint32_t* in, Column from, uint32_t* out, Column to, size_t blocks) {
  const bool in_row = from.w == kTokenMajorTile, out_row = to.w == kTokenMajorTile;
  for (size_t b = 0; b < blocks; ++b) {
    const uint32_t* q = in + (in_row ? kValues * from.at : from.at);
    uint32_t* y = out + (out_row ? kValues * to.at : to.at);
    const size_t in_step = in_row ? 1 : from.w, out_step = out_row ? 1 : to.w;
    for (size_t i = 0; i < kValues; ++i) y[i * out_step] = q[i * in_step];
    for (size_t i = kValues; i < kValues + kRest; ++i)
      out[i * to.w + to.at] = in[i * from.w + from.at];
    in += (kValues + kRest) * from.w;
    out += (kValues + kRest) * to.w;
  }
}

template <ActKind kind, size_t kValues, size_t kRest>
inline void gather_kind(const GatherArgs& args) {
  const uint32_t* in = args.from[static_cast<size_t>(kind)];
  uint32_t* out = args.to[static_cast<size_t>(kind)];
  if (in == nullptr) return;
  const size_t dwords = act_dwords(kind, args.K);
  for (size_t i = 0; i < args.T; ++i) {
    const Column from(args.tokens[i], args.from_T), to(i, args.T);
    copy_column<kValues, kRest>(in + from.t0 * dwords, from, out + to.t0 * dwords, to,
                                dwords / (kValues + kRest));
  }
}

void gather(const GatherArgs& args) noexcept {
  gather_kind<ActKind::F32, 0, 1>(args);
  gather_kind<ActKind::Q8_32, 8, kAct32Dwords - 8>(args);
  gather_kind<ActKind::Q8_256, 64, kAct256Dwords - 64>(args);
}

void combine(const CombineArgs& args, size_t t0, size_t t1) noexcept {
  for (size_t t = t0; t < t1; ++t) {
    const uint32_t* places = args.places + t * args.used;
    const float* shares = args.shares + t * args.shares_stride;
    float* out = args.out + t * args.out_stride;
    for (size_t k = 0; k < args.D; k += 16) {
      const size_t n = args.D - k < 16 ? args.D - k : 16;
      F32x16 sum = f_zero();
      for (size_t c = 0; c < args.used; ++c) {
        const float* row = args.rows + places[c] * args.row_stride + k;
        sum = f_fma(f_set1(shares[c]), n == 16 ? f_load(row) : f_load_partial(row, n), sum);
      }
      if (args.accumulate) sum = f_add(f_load_partial(out + k, n), sum);
      f_store_partial(out + k, n, sum);
    }
  }
}
