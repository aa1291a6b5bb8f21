// SPDX-License-Identifier: MIT
// Writes keys and values of new positions into their pages as f16. Keys go in transposed, one
// position per lane, so that attention needs no horizontal sums; values keep their rows.
inline void store_f16_row(const float* x, size_t n, uint16_t* out, size_t stride) {
  for (size_t i = 0; i < n; i += 16) {
    const size_t count = n - i < 16 ? n - i : 16;
    alignas(64) uint16_t half[16];
    f_store_f16(half, count == 16 ? f_load(x + i) : f_load_partial(x + i, count));
    for (size_t j = 0; j < count; ++j) out[(i + j) * stride] = half[j];
  }
}

void kv_store(const KvStoreArgs& args, size_t t0, size_t t1) noexcept {
  for (size_t t = t0; t < t1; ++t) {
    const size_t position = static_cast<size_t>(args.positions[t]);
    const size_t slot = position % kPagePositions;
    uint16_t* k_page = args.k_pages[position / kPagePositions];
    uint16_t* v_page = args.v_pages[position / kPagePositions];
    for (size_t g = 0; g < args.G; ++g) {
      const size_t head = g * args.D;
      store_f16_row(args.k + t * args.k_stride + head, args.D,
                    k_page + head * kPagePositions + slot, kPagePositions);
      store_f16_row(args.v + t * args.v_stride + head, args.D,
                    v_page + head * kPagePositions + slot * args.D, 1);
    }
  }
}
