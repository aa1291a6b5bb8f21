// SPDX-License-Identifier: MIT
// 16 rows at a time are laid side by side, block by block; threads take them from a counter.
#include "quantize/quantize.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "formats/format.h"

namespace gm {
namespace {

constexpr size_t kRows = 16;

// The columns' weights with mean 1, none of them 0: what has no weight at all still gets the
// nearest code.
std::vector<float> balanced(const float* weights, size_t K) {
  std::vector<float> out(K, 1.0f);
  if (weights == nullptr) return out;
  double sum = 0.0;
  for (size_t k = 0; k < K; ++k) sum += weights[k];
  if (!(sum > 0.0)) return out;
  const double scale = static_cast<double>(K) / sum;
  for (size_t k = 0; k < K; ++k) out[k] = static_cast<float>(std::max(weights[k] * scale, 1e-6));
  return out;
}

// put(parts, block) takes the parts of a block by its number.
template <class Put>
struct Work {
  const KernelTable& kernels;
  const QuantizeJob& job;
  const std::vector<float> weights;
  TypeInfo info;
  Put put;
  std::atomic<size_t> next{0};

  void run() noexcept {
    for (size_t row = 0; (row = next.fetch_add(kRows)) < job.rows;) {
      for (size_t k = 0; k < job.K; k += info.block_values) block(row, k);
    }
  }

  void block(size_t row, size_t k) noexcept {
    alignas(64) float x[256 * kRows], w[256 * kRows];
    const size_t n = info.block_values, rows = std::min(kRows, job.rows - row);
    for (size_t r = 0; r < kRows; ++r) {  // past the last row: its copies
      const float* from = job.values + (row + std::min(r, rows - 1)) * job.K + k;
      for (size_t i = 0; i < n; ++i) x[kRows * i + r] = from[i];
    }
    for (size_t i = 0; i < n; ++i) std::fill_n(w + kRows * i, kRows, weights[k + i]);
    BlockParts parts[kRows];
    kernels.fit[static_cast<size_t>(job.format)](x, w, parts);
    for (size_t r = 0; r < rows; ++r) put(parts[r], (row + r) * (job.K / n) + k / n);
  }
};

template <class Put>
void run(const KernelTable& kernels, ThreadPool& pool, const QuantizeJob& job, const Put& put) {
  using Task = Work<Put>;
  Task work{kernels, job, balanced(job.weights, job.K), type_info(job.format), put};
  pool.run([](void* context, size_t) noexcept { static_cast<Task*>(context)->run(); }, &work);
}

}  // namespace

void quantize_rows(const KernelTable& kernels, ThreadPool& pool, const QuantizeJob& job,
                   uint8_t* out) {
  const PackBlock pack = pack_block(job.format);
  const size_t bytes = type_info(job.format).block_bytes;
  run(kernels, pool, job,
      [&](const BlockParts& parts, size_t block) { pack(parts, out + block * bytes); });
}

void fit_rows(const KernelTable& kernels, ThreadPool& pool, const QuantizeJob& job,
              BlockParts* out) {
  run(kernels, pool, job, [&](const BlockParts& parts, size_t block) { out[block] = parts; });
}

}  // namespace gm
