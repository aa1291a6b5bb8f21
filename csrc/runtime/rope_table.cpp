// SPDX-License-Identifier: MIT
// Frequencies and angles in double; the f32 result is the rounded one in all but a few cases in
// 10^8.
#include "runtime/rope_table.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "runtime/portable_math.h"

namespace gm {

size_t RopeTable::bytes_for(const RopeSpec& spec, size_t context) {
  uint64_t bytes = 0;
  const uint64_t row = spec.n_rot + (spec.query_slope != 0 ? 1 : 0);
  if (!checked_mul(context, row * sizeof(float), &bytes)) {
    throw ResourceError("[rope] The tables must fit into memory. Got a context of " +
                        std::to_string(context) + " positions.");
  }
  return bytes;
}

RopeTable::RopeTable(const RopeSpec& spec, const float* factors, size_t context)
    : table_(bytes_for(spec, context), "a rope table") {
  const size_t pairs = spec.n_rot / 2;
  const double log_base = portable_log(spec.freq_base);
  std::vector<double> frequency(pairs);
  for (size_t i = 0; i < pairs; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(spec.n_rot);
    const double factor = factors == nullptr ? 1.0 : static_cast<double>(factors[i]);
    const double scale = spec.scales.empty() ? spec.scale : spec.scale * spec.scales[i];
    frequency[i] = scale * portable_exp(exponent * log_base) / factor;
    if (!(frequency[i] > 0 && frequency[i] * static_cast<double>(context) <= kMaxAngle)) {
      throw FormatError("[rope] Angles are above 0 and at most 2^24. Got the frequency " +
                        std::to_string(frequency[i]) + " (factor " + std::to_string(factor) +
                        ") at a context of " + std::to_string(context) + " positions.");
    }
  }
  auto* out = reinterpret_cast<float*>(table_.data());
  for (size_t position = 0; position < context; ++position) {
    for (size_t i = 0; i < pairs; ++i, out += 2) {
      const SinCos value = sin_cos(static_cast<double>(position) * frequency[i]);
      out[0] = static_cast<float>(value.cos * spec.magnitude);
      out[1] = static_cast<float>(value.sin * spec.magnitude);
    }
  }
  if (spec.query_slope == 0) return;
  query_scales_ = out;
  for (size_t position = 0; position < context; ++position) {
    const auto level = static_cast<double>(1 + position / spec.query_length);
    *out++ = static_cast<float>(1.0 + spec.query_slope * portable_log(level));
  }
}

WeightId factors_for(const RopeSpec& spec, size_t context) noexcept {
  return spec.long_factors != kNone && context > spec.long_from ? spec.long_factors : spec.factors;
}

bool RopeTables::serve(const std::vector<RopeSpec>& specs, size_t wanted) const noexcept {
  return context >= wanted && std::all_of(specs.begin(), specs.end(), [&](const RopeSpec& spec) {
           return factors_for(spec, context) == factors_for(spec, wanted);
         });
}

size_t RopeTables::bytes() const noexcept {
  size_t total = 0;
  for (const RopeTable& table : tables) total += table.bytes();
  return total;
}

}  // namespace gm
