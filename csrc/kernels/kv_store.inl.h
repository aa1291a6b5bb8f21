// SPDX-License-Identifier: MIT
// Writes keys and values of new positions into their pages (formats/kv_page.h). Every position has
// scales of its own, so that writing one never touches what another left.
inline void store_f16_row(const float* x, size_t n, uint16_t* out, size_t stride) {
  for (size_t i = 0; i < n; i += 16) {
    const size_t count = n - i < 16 ? n - i : 16;
    alignas(64) uint16_t half[16];
    f_store_f16(half, count == 16 ? f_load(x + i) : f_load_partial(x + i, count));
    for (size_t j = 0; j < count; ++j) out[(i + j) * stride] = half[j];
  }
}

// 32 values -> q in 0..15 around 8, and d = extreme / -8: the value of largest magnitude becomes 0,
// the others round to nearest, and 16 becomes 15.
inline float quantize_nibbles(const float* x, int8_t* q) {
  const F32x16 a = f_load(x), b = f_load(x + 16);
  const float top = f_reduce_max(f_max(a, b));
  const float bottom = f_reduce_max(f_max(f_sub(f_zero(), a), f_sub(f_zero(), b)));
  const float extreme = top > bottom ? top : -bottom;
  const float size = top > bottom ? top : bottom;
  if (!(size >= 1e-30f && size <= 3e38f)) {
    std::memset(q, 8, kKvBlock);
    return 0.0f;
  }
  const F32x16 inverse = f_set1(-8.0f / extreme);
  const auto round = [&](F32x16 v) {
    const F32x16 y = f_min(f_fma(v, inverse, f_set1(8.0f)), f_set1(15.0f));
    return i_bits(f_add(y, f_set1(kRoundMagic)));
  };
  i_store_s8(q, round(a));
  i_store_s8(q + 16, round(b));
  return extreme / -8.0f;
}

// The scale as f16, finite: an infinite one would reach rows that do not even see the position.
inline uint16_t scale_half(float d) {
  alignas(64) uint16_t half[16];
  f_store_f16(half, f_max(f_min(f_set1(d), f_set1(65504.0f)), f_set1(-65504.0f)));
  return half[0];
}

// One position of one head. Byte order of a V line: positions i + (0, 32, 16, 48).
template <KvType type>
struct KvSlot {
  uint8_t* k;
  uint8_t* v;
  size_t D, slot;
  size_t v_byte() const { return slot / 16 % 2 * 2 + slot / 32; }

  void store_k_block(const int8_t* q, size_t b) const {
    if constexpr (type == KvType::Q8_0) {
      for (size_t j = 0; j < 8; ++j)
        std::memcpy(k + ((b * 8 + j) * kPagePositions + slot) * 4, q + 4 * j, 4);
    } else {
      for (size_t j = 0; j < 4; ++j)
        for (size_t i = 0; i < 4; ++i)
          k[((b * 4 + j) * kPagePositions + slot) * 4 + i] =
              static_cast<uint8_t>(q[8 * j + i] | q[8 * j + 4 + i] << 4);
    }
  }
  void store_v_block(const int8_t* q, size_t b) const {
    const size_t line = slot % 16;
    for (size_t c = 0; c < 16; ++c) {
      const size_t at = line * 64 + c * 4 + v_byte();
      if constexpr (type == KvType::Q8_0) {
        v[2 * b * 1024 + at] = static_cast<uint8_t>(q[c]);
        v[(2 * b + 1) * 1024 + at] = static_cast<uint8_t>(q[16 + c]);
      } else {
        v[b * 1024 + at] = static_cast<uint8_t>(q[c] | q[16 + c] << 4);
      }
    }
  }
  void store(const float* k_row, const float* v_row) const {
    const auto quantize = [](const float* x, int8_t* q) {
      if constexpr (type == KvType::Q8_0) return quantize_block(x, kKvBlock, q);
      return quantize_nibbles(x, q);
    };
    auto* k_scales = reinterpret_cast<uint16_t*>(k + kv_value_bytes(type, D)) + slot;
    auto* v_scales = reinterpret_cast<uint16_t*>(v + kv_value_bytes(type, D)) + slot;
    for (size_t b = 0; b < D / kKvBlock; ++b) {
      alignas(64) int8_t q[kKvBlock];
      k_scales[b * kPagePositions] = scale_half(quantize(k_row + b * kKvBlock, q));
      store_k_block(q, b);
      v_scales[b * kPagePositions] = scale_half(quantize(v_row + b * kKvBlock, q));
      store_v_block(q, b);
    }
  }
};

template <>
struct KvSlot<KvType::F16> {
  uint8_t* k;
  uint8_t* v;
  size_t D, slot;
  void store(const float* k_row, const float* v_row) const {
    store_f16_row(k_row, D, reinterpret_cast<uint16_t*>(k) + slot, kPagePositions);
    store_f16_row(v_row, D, reinterpret_cast<uint16_t*>(v) + slot * D, 1);
  }
};

template <KvType type>
void kv_store(const KvStoreArgs& args, size_t t0, size_t t1) noexcept {
  for (size_t t = t0; t < t1; ++t) {
    const size_t position = static_cast<size_t>(args.positions[t]);
    const size_t page = position / kPagePositions;
    for (size_t g = 0; g < args.G; ++g) {
      const size_t head = g * kv_head_bytes(type, args.D);
      const KvSlot<type> slot{args.k_pages[page] + head, args.v_pages[page] + head, args.D,
                              position % kPagePositions};
      slot.store(args.k + t * args.k_stride + g * args.D, args.v + t * args.v_stride + g * args.D);
    }
  }
}
