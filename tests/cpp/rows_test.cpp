// SPDX-License-Identifier: MIT
// Norms, gates, soft caps, rotary embeddings: every ISA level that this CPU runs gives the bits of
// the scalar level, and the scalar level is right, against double precision.
#include <algorithm>
#include <cmath>
#include <functional>

#include "check.h"
#include "kernels/kernel_table.h"
#include "levels.h"

namespace {

using gm::KernelTable;
using gm::test::activations;
using gm::test::Input;
using gm::test::kInputs;
using gm::test::levels;
using gm::test::same_bits;

// Runs `kernel` on every level and compares the output with the scalar level's.
void compare(const char* what,
             const std::function<std::vector<float>(const KernelTable&)>& kernel) {
  const std::vector<float> expected = kernel(*levels()[0]);
  for (const KernelTable* level : levels())
    if (!same_bits(kernel(*level), expected))
      gm::test::fail(__FILE__, __LINE__, std::string(what) + " differs on " + level->name);
}

}  // namespace

GM_TEST(norm_and_activation_are_the_same_on_every_level) {
  std::mt19937 rng(21);
  for (const size_t K : {1u, 15u, 16u, 40u, 256u, 771u}) {
    for (const Input input : kInputs) {
      const std::vector<float> x = activations(input, 3 * K, rng);
      const std::vector<float> w = activations(Input::Random, K, rng);
      compare("rms_norm", [&](const KernelTable& kernels) {
        std::vector<float> row(K), out(3 * K);
        const gm::RmsNormArgs args{
            {x.data(), K, 3, K, {}}, w.data(), 1e-5f, row.data(), out.data(), K};
        kernels.rms_norm(args, 0, 3);
        return out;
      });
      for (size_t activation = 0; activation < gm::kActivationCount; ++activation) {
        compare("glu", [&](const KernelTable& kernels) {
          std::vector<float> row(K), out(K);
          gm::GluArgs args{{x.data(), K, 1, K, {}}, x.data() + K, K, row.data()};
          args.quant.act[0] = reinterpret_cast<uint32_t*>(out.data());
          kernels.glu[activation](args, 0, 1);
          return out;
        });
      }
      compare("soft_cap", [&](const KernelTable& kernels) {
        std::vector<float> out = x;
        kernels.soft_cap(out.data(), out.size(), 30.0f);
        return out;
      });
    }
  }
}

GM_TEST(gates_are_right) {
  for (const KernelTable* level : levels()) {
    for (const double step : {3.1, 0.21}) {
      std::vector<float> gate, up(64, 1.0f), row(64), silu(64), gelu(64), oai(64);
      for (int i = 0; i < 64; ++i) gate.push_back(static_cast<float>((i - 32) * step));
      gm::GluArgs args{{gate.data(), 64, 1, 64, {}}, up.data(), 64, row.data()};
      args.quant.act[0] = reinterpret_cast<uint32_t*>(silu.data());
      level->glu[static_cast<size_t>(gm::Activation::Silu)](args, 0, 1);
      args.quant.act[0] = reinterpret_cast<uint32_t*>(gelu.data());
      level->glu[static_cast<size_t>(gm::Activation::GeluTanh)](args, 0, 1);
      args.quant.act[0] = reinterpret_cast<uint32_t*>(oai.data());
      for (size_t i = 0; i < 64; ++i) up[i] = gate[63 - i];
      level->glu[static_cast<size_t>(gm::Activation::SwigluOai)](args, 0, 1);
      for (size_t i = 0; i < 64; ++i) {
        const double g = gate[i];
        const double expected = g / (1.0 + std::exp(-g));
        CHECK(std::fabs(double{silu[i]} - expected) <= 3e-7 * std::fabs(expected) + 1e-30);
        const double u = std::sqrt(2.0 / M_PI) * (g + 0.044715 * g * g * g);
        CHECK(std::fabs(double{gelu[i]} - g / 2 * (1 + std::tanh(u))) <= 1e-6 * std::fabs(g));
        const double x = std::min(g, 7.0), y = std::clamp(double{up[i]}, -7.0, 7.0) + 1;
        const double clamped = y * x / (1.0 + std::exp(-1.702 * x));
        const double slack = 2e-7 * (3.0 + std::fabs(x));  // e^-1.702x of a rounded exponent
        CHECK(std::fabs(double{oai[i]} - clamped) <= slack * std::fabs(clamped) + 1e-30);
      }
    }
  }
}

GM_TEST(soft_caps_are_right) {
  for (const KernelTable* level : levels()) {
    std::vector<float> x, out;
    for (int i = -500; i <= 500; ++i) x.push_back(static_cast<float>(i) * 0.37f);
    out = x;
    level->soft_cap(out.data(), out.size(), 30.0f);
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = 30.0 * std::tanh(double{x[i]} / 30.0);
      CHECK(std::fabs(double{out[i]} - expected) <= 5e-7 * std::fabs(expected));
    }
  }
}

// Heads of a row have a mean each; what is added to a buffer is the norm itself.
GM_TEST(norms_of_heads_and_sums) {
  constexpr size_t D = 24, heads = 3, K = D * heads;
  std::mt19937 rng(31);
  const std::vector<float> x = activations(Input::Random, K, rng);
  const std::vector<float> w = activations(Input::Random, D, rng);
  for (const KernelTable* level : levels()) {
    std::vector<float> row(K), whole(K), sum(K, 2.0f), alone(D);
    gm::RmsNormArgs args{
        {x.data(), K, 1, K, {}}, w.data(), 1e-5f, row.data(), whole.data(), K, heads};
    level->rms_norm(args, 0, 1);
    args.out = sum.data();
    args.accumulate = true;
    level->rms_norm(args, 0, 1);
    for (size_t h = 0; h < heads; ++h) {
      const gm::RmsNormArgs one{
          {x.data() + h * D, D, 1, D, {}}, w.data(), 1e-5f, row.data(), alone.data(), D};
      level->rms_norm(one, 0, 1);
      for (size_t i = 0; i < D; ++i) {
        CHECK_EQ(whole[h * D + i], alone[i]);
        CHECK_EQ(sum[h * D + i], 2.0f + alone[i]);
      }
    }
  }
}

GM_TEST(rope_is_the_same_on_every_level) {
  std::mt19937 rng(23);
  for (const bool neox : {false, true}) {
    for (const size_t D : {8u, 32u, 64u, 80u, 128u}) {
      const size_t T = 5, heads = 3, n_rot = D == 80 ? 40 : D;
      const std::vector<float> x = activations(Input::Random, T * heads * D, rng);
      const std::vector<float> table = activations(Input::Random, 64 * n_rot, rng);
      const std::vector<int32_t> positions = {3, 9, 10, 40, 63};
      compare("rope", [&](const KernelTable& kernels) {
        std::vector<float> out = x;
        const gm::RopeArgs args{out.data(),   heads * D,        heads, D, n_rot,
                                table.data(), positions.data(), neox};
        kernels.rope(args, 0, T);
        return out;
      });
    }
  }
}
