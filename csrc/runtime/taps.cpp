// SPDX-License-Identifier: MIT
// Reads tiles of activations (formats/activation.h) back into rows.
#include "runtime/taps.h"

#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "formats/activation.h"
#include "runtime/steps.h"

namespace gm {
namespace {

constexpr size_t kTokenMajor = 16;  // the tile of level amx_int8, whose q lie token by token

std::vector<Tap> layout(const Plan& plan, size_t batch_rows, uint64_t* bytes) {
  std::vector<Tap> taps;
  for (const Op& op : plan.ops) {
    const auto* linear = std::get_if<LinearOp>(&op);
    if (linear == nullptr) continue;
    const BufferSpec& act = plan.buffers[linear->act];
    uint64_t size = 0;
    if (!checked_mul(act.width, batch_rows * sizeof(float), &size) ||
        !checked_align(size, kBufferAlign, &size) || !checked_add(*bytes, size, bytes))
      throw ResourceError(
          "[session] The inputs of a batch must fit into memory. Use a smaller batch.");
    taps.push_back({linear, act.width, act.rows, nullptr});
  }
  return taps;
}

float value(uint32_t dword, size_t byte) noexcept {
  return static_cast<float>(static_cast<int8_t>(dword >> (8 * byte)));
}

// Token t of a tile of w tokens.
void copy_row(ActKind kind, const uint32_t* tile, size_t K, size_t w, size_t t,
              float* out) noexcept {
  if (kind == ActKind::F32) {
    for (size_t k = 0; k < K; ++k) std::memcpy(out + k, tile + k * w + t, sizeof(float));
    return;
  }
  const size_t n = kind == ActKind::Q8_32 ? 32 : 256;
  const size_t dwords = act_dwords(kind, n), scale = kind == ActKind::Q8_32 ? 9 : 76;
  for (size_t k = 0; k < K; k += n, tile += dwords * w) {
    float d;
    std::memcpy(&d, tile + scale * w + t, sizeof d);
    for (size_t i = 0; i < n / 4; ++i) {
      const uint32_t q = w == kTokenMajor ? tile[t * (n / 4) + i] : tile[i * w + t];
      for (size_t byte = 0; byte < 4; ++byte) out[k + 4 * i + byte] = d * value(q, byte);
    }
  }
}

}  // namespace

Taps::Taps(const Plan& plan, size_t batch_rows) {
  uint64_t bytes = 0;
  taps_ = layout(plan, batch_rows, &bytes);
  memory_ = AlignedBuffer(bytes, "the inputs of a batch");
  uint8_t* next = memory_.data();
  for (Tap& tap : taps_) {
    tap.values = reinterpret_cast<float*>(next);
    next += align_up(tap.K * batch_rows * sizeof(float));
  }
}

size_t TapStep::chunks(const Batch&) const noexcept { return 1; }

void TapStep::run(const Batch& batch, size_t, size_t) const noexcept {
  const size_t rows = batch.count(which);
  for (size_t t0 = 0, w = 0; t0 < rows; t0 += w) {
    w = tile_width(rows - t0, batch.kernels->max_tile);
    const uint32_t* tile = act + t0 * act_dwords(kind, K);
    for (size_t t = 0; t < w; ++t) copy_row(kind, tile, K, w, t, out + (t0 + t) * K);
  }
}

}  // namespace gm
