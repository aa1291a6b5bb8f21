// SPDX-License-Identifier: MIT
// The only thing an ISA object exports: one constant table of plain function pointers, chosen once
// at start-up. All kernels are noexcept, allocate nothing and give the same bits on every ISA.
// Dimension names: T tokens, K values of a row, H/G query/KV heads, D head size, S positions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/format.h"

namespace gm {

inline constexpr size_t kPanelRows = 16;        // rows of a panel: a SIMD lane is a row
inline constexpr size_t kPagePositions = 64;    // positions of a KV page
inline constexpr size_t kChunkPositions = 256;  // positions that attention reduces in one piece
inline constexpr size_t kMaxGroup = 128;        // query heads per KV head

// out[t, r] = (accumulate ? out[t, r] : 0) + sum_k W[r, k] x[t, k] for the rows of panels [p0, p1).
struct LinearArgs {
  const uint8_t* panels;  // panel 0 of W; see panels/panel.h
  size_t rows;            // R; the last panel may be padded beyond it
  size_t K;
  const uint32_t* act;  // tiles of [T, K] in the format's ActKind; see formats/activation.h
  size_t T;
  float* out;         // [T, out_stride] f32
  size_t out_stride;  // floats
  bool accumulate;    // add to out (the residual)
  uint8_t* scratch;   // linear_scratch_bytes(T), 64-byte aligned, one per thread
};

// x [T, K] f32, stride floats apart -> activation tiles. Handles tokens of tiles [tile0, tile1).
struct QuantizeArgs {
  const float* x;
  size_t stride;
  size_t T, K;
  uint32_t* act[kActKindCount];  // by ActKind; null: not wanted
};

// y = x / sqrt(mean(x^2) + eps) * weight, then as QuantizeArgs. f32 row goes through `row`.
struct RmsNormArgs {
  QuantizeArgs quant;
  const float* weight;  // [K] f32
  float eps;
  float* row;  // [K] f32 scratch, one per thread
  float* out;  // [T, out_stride] f32, or null if only the activations are wanted
  size_t out_stride;
};

// silu(gate) * up, then as QuantizeArgs (quant.x is gate).
struct SwigluArgs {
  QuantizeArgs quant;
  const float* up;
  size_t up_stride;
  float* row;  // [K] f32 scratch, one per thread
};

// Rotates pairs of each head in place: NORM pairs (2i, 2i+1), NEOX pairs (i, i + n_rot/2).
struct RopeArgs {
  float* x;  // [T, stride]: heads * D values used
  size_t stride;
  size_t heads, D, n_rot;
  const float* cos_sin;      // [S_max, n_rot]: cos of pair i at 2i, sin at 2i + 1, row = position
  const int32_t* positions;  // [T]
  bool neox;
};

// K pages are [G][D][64] f16 (a lane is a position), V pages [G][64][D] f16.
struct KvStoreArgs {
  const float* k;  // [T, k_stride] f32: G * D values
  const float* v;
  size_t k_stride, v_stride;
  size_t G, D;
  uint16_t* const* k_pages;  // [ceil(S / 64)]
  uint16_t* const* v_pages;
  const int32_t* positions;  // [T]
};

// out[t, h] = softmax(q[t, h] . k[0..position t] * scale) v, chunk by chunk of 256 positions.
struct AttentionArgs {
  const float* q;  // [T, q_stride] f32: H * D values
  size_t q_stride;
  float* out;  // [T, out_stride] f32: H * D values
  size_t out_stride;
  size_t H, G, D;
  const uint16_t* const* k_pages;
  const uint16_t* const* v_pages;
  const int32_t* positions;  // [T], ascending
  float scale;
  size_t window;     // attends to the last `window` positions; 0: all
  uint8_t* scratch;  // attention_scratch_bytes(), one per thread
};

struct KernelTable {
  const char* name;  // "avx512_vnni"
  size_t max_tile;   // tokens in a full activation tile

  void (*linear[kFormatCount])(const LinearArgs&, size_t p0, size_t p1) noexcept;
  void (*quantize)(const QuantizeArgs&, size_t tile0, size_t tile1) noexcept;
  void (*rms_norm)(const RmsNormArgs&, size_t tile0, size_t tile1) noexcept;
  void (*swiglu)(const SwigluArgs&, size_t tile0, size_t tile1) noexcept;
  void (*rope)(const RopeArgs&, size_t t0, size_t t1) noexcept;
  void (*kv_store)(const KvStoreArgs&, size_t t0, size_t t1) noexcept;
  // Query heads of KV head g, tokens [t0, t1), t1 - t0 <= attention_tile.
  void (*attention)(const AttentionArgs&, size_t g, size_t t0, size_t t1) noexcept;
  size_t attention_tile;

  size_t (*linear_scratch_bytes)(size_t T) noexcept;
  size_t (*attention_scratch_bytes)(size_t H, size_t G, size_t D) noexcept;

  // For measuring the machine; see kernels/roofline.inl.h.
  size_t (*int8_burn)(size_t rounds, uint32_t* sink) noexcept;
  uint32_t (*read_stream)(const uint8_t* data, size_t bytes) noexcept;
};

}  // namespace gm
