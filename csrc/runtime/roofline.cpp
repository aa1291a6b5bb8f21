// SPDX-License-Identifier: MIT
// Each pass starts all workers of a pool at once and is timed from start to the last one's end.
#include "runtime/roofline.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "base/aligned_buffer.h"
#include "base/error.h"
#include "base/thread_pool.h"

namespace gm {
namespace {

constexpr int kPasses = 6;
constexpr size_t kBurnRounds =
    20'000'000;  // up to 12 dot products each: long enough for the sustained clock
constexpr size_t kLineGroup = 256;  // bytes that read_stream reads at a time

using Burn = size_t (*)(size_t rounds, uint32_t* sink) noexcept;

struct Pass {
  const KernelTable& kernels;
  Burn burn = nullptr;
  const uint8_t* data = nullptr;
  size_t bytes_per_worker = 0;
  std::atomic<size_t> macs{0};
  std::atomic<uint32_t> sink{0};
};

void read_pass(void* context, size_t worker) noexcept {
  Pass& pass = *static_cast<Pass*>(context);
  pass.sink +=
      pass.kernels.read_stream(pass.data + worker * pass.bytes_per_worker, pass.bytes_per_worker);
}

void burn_pass(void* context, size_t) noexcept {
  Pass& pass = *static_cast<Pass*>(context);
  uint32_t sink = 0;
  pass.macs += pass.burn(kBurnRounds, &sink);
  pass.sink += sink;
}

double seconds_of(ThreadPool& pool, ThreadPool::Job job, Pass& pass) {
  const auto start = std::chrono::steady_clock::now();
  pool.run(job, &pass);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double measure_peak(const KernelTable& kernels, Burn burn, size_t threads) {
  ThreadPool pool(threads);
  double best = 0.0;
  for (int i = 0; i < kPasses; ++i) {
    Pass pass{kernels, burn};
    const double seconds = seconds_of(pool, burn_pass, pass);
    best = std::max(best, static_cast<double>(pass.macs.load()) / seconds);
  }
  return best;
}

}  // namespace

double measure_bandwidth(const KernelTable& kernels, size_t threads, size_t bytes) {
  ThreadPool pool(threads);
  const size_t share = bytes / threads / kLineGroup * kLineGroup;
  if (share == 0)
    throw ResourceError("[bandwidth] the buffer is too small for the number of threads.");
  AlignedBuffer buffer(share * threads, "the bandwidth measurement", true);
  std::memset(buffer.data(), 1, share * threads);  // touch: untouched pages are one zero page
  Pass pass{kernels, nullptr, buffer.data(), share};
  double best = 0.0;
  for (int i = 0; i < kPasses; ++i)
    best = std::max(best, static_cast<double>(share * threads) / seconds_of(pool, read_pass, pass));
  return best;
}

double measure_int8_peak(const KernelTable& kernels, size_t threads) {
  return measure_peak(kernels, kernels.int8_burn, threads);
}

double measure_float_peak(const KernelTable& kernels, size_t threads) {
  return measure_peak(kernels, kernels.float_burn, threads);
}

}  // namespace gm
