// SPDX-License-Identifier: MIT
// Values are encoded, not random bytes: random scales would be denormal or infinite now and then,
// and denormal arithmetic is ten times slower than what is to be measured.
#include "runtime/linear_bench.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstring>
#include <random>
#include <string>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "formats/activation.h"
#include "panels/panel.h"

namespace gm {
namespace {

constexpr size_t kChunksPerThread = 16;

struct Pass {
  const KernelTable& kernels;
  LinearArgs args;
  Format format;
  size_t panels, chunk;
  uint8_t* scratch;
  size_t scratch_stride;
  std::atomic<size_t> next{0};
};

void run_chunks(void* context, size_t worker) noexcept {
  auto& pass = *static_cast<Pass*>(context);
  LinearArgs args = pass.args;
  args.scratch = pass.scratch + worker * pass.scratch_stride;
  for (size_t p; (p = pass.next.fetch_add(pass.chunk, std::memory_order_relaxed)) < pass.panels;)
    pass.kernels.linear[static_cast<size_t>(pass.format)](args, p,
                                                          std::min(p + pass.chunk, pass.panels));
}

std::vector<float> normal_values(size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

size_t checked_size(size_t count, size_t bytes_each) {
  uint64_t bytes = 0;
  if (!checked_mul(count, bytes_each, &bytes))
    throw ResourceError("[linear bench] The matrices must fit into memory. Ask for less.");
  return static_cast<size_t>(bytes);
}

// The panels of a matrix whose every panel is the same 16 rows.
AlignedBuffer repeated_panels(const LinearBench& bench) {
  const TypeInfo type = type_info(bench.format);
  const std::vector<float> values = normal_values(kPanelRows * bench.K);
  const size_t row_bytes = bench.K / type.block_values * type.block_bytes;
  std::vector<uint8_t> rows(kPanelRows * row_bytes);
  if (encode_row(bench.format) == nullptr) {
    // Any bits are weights; without the top ones no f16 is large, infinite or NaN.
    for (size_t i = 0; i < rows.size(); ++i)
      rows[i] = std::bit_cast<uint32_t>(values[i % values.size()]) & 0x3f;
  } else {
    for (size_t r = 0; r < kPanelRows; ++r)
      encode_row(bench.format)(values.data() + r * bench.K, rows.data() + r * row_bytes, bench.K);
  }
  const size_t panel = panel_bytes(bench.format, bench.K);
  AlignedBuffer panels(checked_size(bench.rows / kPanelRows, panel), "the weights", true);
  for (size_t at = 0; at < panels.size(); at += panel)
    pack_panels(bench.format, rows.data(), kPanelRows, bench.K, panels.data() + at, 0, 1);
  return panels;
}

}  // namespace

std::vector<double> bench_linear(const KernelTable& kernels, const LinearBench& bench) {
  const TypeInfo type = type_info(bench.format);
  const size_t block = std::max<size_t>(type.block_values, type.act == ActKind::F32     ? 1
                                                           : type.act == ActKind::Q8_32 ? 32
                                                                                        : 256);
  if (bench.K == 0 || bench.K % block != 0 || bench.rows == 0 || bench.rows % kPanelRows != 0 ||
      bench.T == 0 || bench.passes == 0)
    throw ShapeError("[linear bench] Rows are a multiple of 16, K of " + std::to_string(block) +
                     ", tokens and passes at least 1. Got " + std::to_string(bench.rows) + " x " +
                     std::to_string(bench.K) + ".");
  ThreadPool pool(bench.threads);
  const AlignedBuffer panels = repeated_panels(bench);
  AlignedBuffer x(checked_size(bench.T, bench.K * sizeof(float)), "the activations");
  const std::vector<float> values = normal_values(bench.K);
  for (size_t t = 0; t < bench.T; ++t)
    std::memcpy(x.data() + t * bench.K * sizeof(float), values.data(), bench.K * sizeof(float));
  AlignedBuffer act(checked_size(bench.T, act_dwords(type.act, bench.K) * sizeof(uint32_t)),
                    "the quantized activations");
  AlignedBuffer out(checked_size(bench.T, bench.rows * sizeof(float)), "the products");
  const size_t scratch_stride = align_up(kernels.linear_scratch_bytes(bench.T), 4096);
  AlignedBuffer scratch(checked_size(bench.threads, scratch_stride), "the scratch");

  QuantizeArgs quantize{reinterpret_cast<const float*>(x.data()), bench.K, bench.T, bench.K, {}};
  quantize.act[static_cast<size_t>(type.act)] = reinterpret_cast<uint32_t*>(act.data());
  kernels.quantize(quantize, 0, bench.T);  // there are at most T tiles

  Pass pass{kernels, {}, bench.format, bench.rows / kPanelRows, 0, scratch.data(), scratch_stride};
  pass.args.panels = panels.data();
  pass.args.rows = bench.rows;
  pass.args.K = bench.K;
  pass.args.act = reinterpret_cast<const uint32_t*>(act.data());
  pass.args.T = bench.T;
  pass.args.out = reinterpret_cast<float*>(out.data());
  pass.args.out_stride = bench.rows;
  pass.chunk = std::max<size_t>(pass.panels / (bench.threads * kChunksPerThread) / 2 * 2, 2);
  std::vector<double> seconds;
  for (size_t i = 0; i < bench.passes; ++i) {
    pass.next = 0;
    const auto start = std::chrono::steady_clock::now();
    pool.run(run_chunks, &pass);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

}  // namespace gm
