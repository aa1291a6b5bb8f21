// SPDX-License-Identifier: MIT
// Layer norms and activations without a gate: every ISA level gives the bits of the scalar level,
// and the scalar level is right, against double precision.
#include <cmath>

#include "check.h"
#include "levels.h"

namespace {

using gm::Activation;
using gm::KernelTable;
using gm::test::activations;
using gm::test::Input;
using gm::test::kInputs;
using gm::test::levels;
using gm::test::same_bits;

constexpr float kEps = 1e-5f;

std::vector<float> layer_norm(const KernelTable& kernels, const std::vector<float>& x, size_t K,
                              const std::vector<float>& weight, const float* bias) {
  const size_t T = x.size() / K;
  std::vector<float> row(K), out(x.size());
  kernels.layer_norm(
      {{x.data(), K, T, K, {}}, weight.data(), bias, kEps, row.data(), out.data(), K}, 0, T);
  return out;
}

std::vector<float> activated(const KernelTable& kernels, Activation kind,
                             const std::vector<float>& x) {
  std::vector<float> row(x.size()), out(x.size());
  gm::GluArgs args{{x.data(), x.size(), 1, x.size(), {}}, nullptr, 0, row.data()};
  args.quant.act[0] = reinterpret_cast<uint32_t*>(out.data());
  kernels.glu[static_cast<size_t>(kind)](args, 0, 1);
  return out;
}

}  // namespace

GM_TEST(layer_norms_are_the_same_on_every_level) {
  std::mt19937 rng(41);
  for (const size_t K : {1u, 15u, 16u, 40u, 384u, 771u}) {
    for (const Input input : kInputs) {
      const std::vector<float> x = activations(input, 3 * K, rng);
      const std::vector<float> w = activations(Input::Random, K, rng);
      const std::vector<float> b = activations(Input::Random, K, rng);
      for (const float* bias : {b.data(), static_cast<const float*>(nullptr)}) {
        const std::vector<float> expected = layer_norm(*levels()[0], x, K, w, bias);
        for (const KernelTable* level : levels())
          CHECK(same_bits(layer_norm(*level, x, K, w, bias), expected));
      }
    }
  }
}

// Also where the mean is far larger than the deviation.
GM_TEST(layer_norms_are_right) {
  std::mt19937 rng(43);
  for (const float offset : {0.0f, 100.0f}) {
    for (const size_t K : {15u, 64u, 771u}) {
      std::vector<float> x = activations(Input::Random, K, rng);
      for (float& value : x) value += offset;
      const std::vector<float> w = activations(Input::Random, K, rng);
      const std::vector<float> b = activations(Input::Random, K, rng);
      double mean = 0.0, variance = 0.0;
      for (const float value : x) mean += double{value} / static_cast<double>(K);
      for (const float value : x)
        variance += (value - mean) * (value - mean) / static_cast<double>(K);
      const std::vector<float> out = layer_norm(*levels()[0], x, K, w, b.data());
      for (size_t k = 0; k < K; ++k) {
        const double expected = (x[k] - mean) / std::sqrt(variance + double{kEps}) * w[k] + b[k];
        CHECK(std::fabs(double{out[k]} - expected) <= (offset == 0 ? 3e-6 : 1e-4));
      }
    }
  }
}

// GELU by erf to 1.3e-7 of |x|, and in the tail of negative x to 2e-6 of itself.
GM_TEST(activations_without_a_gate_are_right) {
  std::vector<float> x;
  for (int i = -2000; i <= 2000; ++i) x.push_back(static_cast<float>(i) * 0.005f);
  const std::vector<float> gelu = activated(*levels()[0], Activation::Gelu, x);
  const std::vector<float> tanh = activated(*levels()[0], Activation::Tanh, x);
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i], exact = v * std::erfc(-v / std::sqrt(2.0)) / 2;
    CHECK(std::fabs(gelu[i] - exact) <= 1.3e-7 * std::fabs(v) + 6e-8 * std::fabs(exact));
    if (v > -9) CHECK(std::fabs(gelu[i] - exact) <= 2.5e-6 * std::fabs(exact) + 1e-30);
    CHECK(std::fabs(tanh[i] - std::tanh(v)) <= 4e-7 * std::fabs(std::tanh(v)));
  }
}

GM_TEST(activations_without_a_gate_are_the_same_on_every_level) {
  std::mt19937 rng(47);
  for (size_t kind = 0; kind < gm::kActivationCount; ++kind) {
    for (const Input input : kInputs) {
      for (const size_t K : {1u, 16u, 77u}) {
        const std::vector<float> x = activations(input, K, rng);
        const auto run = [&](const KernelTable& level) {
          return activated(level, static_cast<Activation>(kind), x);
        };
        for (const KernelTable* level : levels()) CHECK(same_bits(run(*level), run(*levels()[0])));
      }
    }
  }
}
