// SPDX-License-Identifier: MIT
// Short convolutions and the gated delta rule, by the steps that a session runs: what they compute
// is right, against double precision over the whole sequence, and its bits are the same on every
// ISA level, however the sequence is cut into batches. And states: where they can go back to.
#include <cmath>

#include "check.h"
#include "levels.h"
#include "plan/plan.h"
#include "runtime/recurrent_state.h"
#include "runtime/recurrent_steps.h"

namespace {

using gm::KernelTable;
using gm::RecurrentState;
using gm::test::activations;
using gm::test::Input;
using gm::test::levels;
using gm::test::same_bits;

constexpr size_t kTokens = 11;
constexpr size_t kFirst = 5;  // position of token 0: the state of those before it is zero

// Runs steps over [first, first + T) of the sequence.
template <class... Steps>
void run_steps(const KernelTable& kernels, size_t first, size_t T, const Steps&... steps) {
  std::vector<int32_t> positions(T);
  for (size_t t = 0; t < T; ++t) positions[t] = static_cast<int32_t>(kFirst + first + t);
  gm::Batch batch;
  batch.kernels = &kernels;
  batch.threads = 3;
  batch.T = T;
  batch.positions = positions.data();
  const auto run = [&](const auto& step) {
    for (size_t chunk = step.chunks(batch); chunk-- > 0;) step.run(batch, chunk, 0);
  };
  (run(steps), ...);
}

// The sequence in batches of `size`, on every level: f(kernels, first, T) appends to the output.
template <class F>
void same_for_all(const char* what, F&& run) {
  std::vector<float> expected;
  for (const KernelTable* level : levels()) {
    for (const size_t size : {kTokens, size_t{1}, size_t{2}, size_t{7}}) {
      const std::vector<float> out = run(*level, size);
      if (expected.empty()) expected = out;
      if (!same_bits(out, expected))
        gm::test::fail(__FILE__, __LINE__, std::string(what) + " differs on " + level->name);
    }
  }
}

struct Conv {
  size_t C, taps;
  bool gated, biased, silu;
  std::vector<float> x, gate, weight, bias;

  Conv(size_t channels, size_t count, int kind)
      : C(channels), taps(count), gated(kind & 1), biased(kind & 2), silu(kind & 4) {
    std::mt19937 rng(static_cast<uint32_t>(channels * 16 + count));
    x = activations(Input::Random, kTokens * C, rng);
    gate = activations(Input::Random, kTokens * C, rng);
    weight = activations(Input::Random, taps * C, rng);
    bias = activations(Input::Random, C, rng);
  }

  std::vector<float> run(const KernelTable& kernels, size_t size) const {
    std::vector<float> out(kTokens * C), history((taps - 1) * C, 0.0f);
    for (size_t first = 0; first < kTokens; first += size) {
      gm::ShortConvArgs args{};
      args.x = x.data() + first * C;
      args.gate = gated ? gate.data() + first * C : nullptr;
      args.x_stride = args.gate_stride = args.out_stride = args.channels = C;
      args.out = out.data() + first * C;
      args.taps = taps;
      args.weight = weight.data();
      args.bias = biased ? bias.data() : nullptr;
      args.history = history.data();
      args.silu = silu;
      run_steps(kernels, first, std::min(size, kTokens - first), gm::ShortConvStep{args},
                gm::ShortConvKeepStep{args});
    }
    return out;
  }

  double expected(size_t t, size_t c) const {
    double sum = biased ? bias[c] : 0.0;
    for (size_t j = 0; j < taps; ++j) {
      if (t + j < taps - 1) continue;
      const size_t at = (t + j + 1 - taps) * C + c;
      sum += double{weight[j * C + c]} * x[at] * (gated ? gate[at] : 1.0);
    }
    return silu ? sum / (1.0 + std::exp(-sum)) : sum;
  }
};

struct Delta {
  size_t G, H, K, V;
  std::vector<float> qkv, alpha, beta, rate, shift;

  Delta(size_t key_heads, size_t heads, size_t key_dim, size_t value_dim)
      : G(key_heads), H(heads), K(key_dim), V(value_dim) {
    std::mt19937 rng(static_cast<uint32_t>(K * 64 + V));
    qkv = activations(Input::Random, kTokens * width(), rng);
    alpha = activations(Input::Random, kTokens * H, rng);
    beta = activations(Input::Random, kTokens * H, rng);
    rate = activations(Input::Random, H, rng);
    for (float& x : rate) x = -0.1f * std::fabs(x);
    shift = activations(Input::Random, H, rng);
  }
  size_t width() const { return 2 * G * K + H * V; }

  std::vector<float> run(const KernelTable& kernels, size_t size) const {
    std::vector<float> work = qkv, decay = alpha, strength = beta, out(kTokens * H * V);
    std::vector<float> state(H * gm::delta_state_floats(K, V), 0.0f);
    for (size_t first = 0; first < kTokens; first += size) {
      gm::DeltaRuleArgs args{};
      args.qkv = work.data() + first * width();
      args.qkv_stride = width();
      args.alpha = decay.data() + first * H;
      args.beta = strength.data() + first * H;
      args.alpha_stride = args.beta_stride = args.H = H;
      args.out = out.data() + first * H * V;
      args.out_stride = H * V;
      args.G = G;
      args.K = K;
      args.V = V;
      args.rate = rate.data();
      args.shift = shift.data();
      args.eps = 1e-6f;
      args.state = state.data();
      run_steps(kernels, first, std::min(size, kTokens - first), gm::DeltaPrepareStep{args},
                gm::DeltaRuleStep{args});
    }
    out.insert(out.end(), state.begin(), state.end());
    return out;
  }

  // [tokens, H, V]: the definition in plan.h, head by head.
  std::vector<double> expected() const {
    std::vector<double> out(kTokens * H * V);
    for (size_t h = 0; h < H; ++h) {
      std::vector<double> S(K * V, 0.0);
      for (size_t t = 0; t < kTokens; ++t) {
        const float* row = qkv.data() + t * width();
        const std::vector<double> q = unit(row + h % G * K), k = unit(row + (G + h % G) * K);
        const float* v = row + 2 * G * K + h * V;
        const double a = double{alpha[t * H + h]} + shift[h];
        const double decay = std::exp(rate[h] * std::log1p(std::exp(a)));
        const double strength = 1.0 / (1.0 + std::exp(-double{beta[t * H + h]}));
        for (size_t c = 0; c < V; ++c) {
          double recalled = 0, found = 0;
          for (size_t i = 0; i < K; ++i) recalled += decay * S[i * V + c] * k[i];
          for (size_t i = 0; i < K; ++i) {
            S[i * V + c] = decay * S[i * V + c] + k[i] * strength * (v[c] - recalled);
            found += S[i * V + c] * q[i];
          }
          out[(t * H + h) * V + c] = found / std::sqrt(static_cast<double>(K));
        }
      }
    }
    return out;
  }
  std::vector<double> unit(const float* x) const {
    double sum = 1e-6;
    for (size_t i = 0; i < K; ++i) sum += double{x[i]} * x[i];
    std::vector<double> out(K);
    for (size_t i = 0; i < K; ++i) out[i] = x[i] / std::sqrt(sum);
    return out;
  }
};

gm::Plan plan_with_states() {
  gm::Plan plan;
  plan.states = {{3}, {40}};
  return plan;
}

}  // namespace

GM_TEST(short_convolutions) {
  for (const size_t C : {1u, 15u, 16u, 40u}) {
    for (const size_t taps : {2u, 3u, 4u, 16u}) {
      for (int kind = 0; kind < 8; ++kind) {
        const Conv conv(C, taps, kind);
        same_for_all("short_conv", [&](const KernelTable& kernels, size_t size) {
          return conv.run(kernels, size);
        });
        const std::vector<float> out = conv.run(*levels().back(), kTokens);
        for (size_t i = 0; i < out.size(); ++i)
          CHECK(std::fabs(out[i] - conv.expected(i / C, i % C)) < 2e-5);
      }
    }
  }
}

GM_TEST(delta_rule) {
  for (const auto& [G, H, K, V] : {std::array<size_t, 4>{1, 1, 4, 16},
                                   {2, 4, 20, 24},
                                   {1, 3, 33, 17},
                                   {2, 2, 64, 32},
                                   {1, 18, 1, 1}}) {
    const Delta delta(G, H, K, V);
    same_for_all("delta_rule",
                 [&](const KernelTable& kernels, size_t size) { return delta.run(kernels, size); });
    const std::vector<float> out = delta.run(*levels().back(), kTokens);
    const std::vector<double> expected = delta.expected();
    for (size_t i = 0; i < expected.size(); ++i) CHECK(std::fabs(out[i] - expected[i]) < 1e-5);
  }
}

// At the ends of softplus: nothing is left of the state, all of it is, and never NaN.
GM_TEST(decays_at_their_ends) {
  for (const KernelTable* level : levels()) {
    std::vector<float> qkv(3, 1.0f), alpha = {-200.0f}, beta = {200.0f}, out(1), state(16, 0.5f);
    const float rate = -4.0f, shift = 0.0f;
    gm::DeltaRuleArgs args{};
    args.qkv = qkv.data();
    args.alpha = alpha.data();
    args.beta = beta.data();
    args.out = out.data();
    args.T = args.G = args.H = args.K = args.V = 1;
    args.rate = &rate;
    args.shift = &shift;
    args.state = state.data();
    level->delta_prepare(args, 0, 1);
    CHECK_EQ(alpha[0], 1.0f);
    CHECK_EQ(beta[0], 1.0f);
    level->delta_rule(args, 0, 1);
    CHECK_EQ(out[0], 1.0f);  // the value in place of what was recalled
    alpha[0] = 200.0f;
    beta[0] = -200.0f;
    level->delta_prepare(args, 0, 1);
    CHECK_EQ(alpha[0], 0.0f);
    CHECK(beta[0] < 1e-37f);
    level->delta_rule(args, 0, 1);
    CHECK(out[0] < 1e-37f);
  }
}

GM_TEST(heads_are_split_in_halves) {
  const std::vector<float> x = {0, 1, 10, 11, 2, 3, 12, 13};
  std::vector<float> first(4), second(4);
  run_steps(*levels()[0], 0, 1,
            gm::SplitHeadsStep{x.data(), 8, first.data(), 4, second.data(), 4, 2, 2});
  CHECK(first == std::vector<float>({0, 1, 2, 3}));
  CHECK(second == std::vector<float>({10, 11, 12, 13}));
}

GM_TEST(states_go_back_to_checkpoints) {
  RecurrentState states(plan_with_states());
  CHECK_EQ(states.bytes(), RecurrentState::bytes_for(plan_with_states()));
  CHECK(states.values(1) >= states.values(0) + 3);
  const auto set = [&](float value) { states.values(0)[2] = states.values(1)[39] = value; };
  const auto is = [&](float value) {
    return states.values(0)[2] == value && states.values(1)[39] == value;
  };
  CHECK(is(0));
  set(1);
  states.save(10);
  set(2);
  states.save(20);
  states.save(20);
  set(3);
  CHECK_EQ(states.reachable(9), 0u);
  CHECK_EQ(states.reachable(10), 10u);
  CHECK_EQ(states.reachable(19), 10u);
  CHECK_EQ(states.reachable(1000), 20u);
  states.rewind(20);
  CHECK(is(2));
  set(3);
  states.rewind(10);
  CHECK(is(1));
  CHECK_EQ(states.reachable(1000), 10u);  // 20 is of tokens that are gone
  states.rewind(0);
  CHECK(is(0));
  CHECK_EQ(states.reachable(1000), 0u);
  CHECK(!states.due(RecurrentState::kEvery - 1));
  CHECK(states.due(RecurrentState::kEvery));
}

GM_TEST(few_checkpoints_cover_a_long_sequence) {
  RecurrentState states(plan_with_states());
  for (size_t position = 1; position <= 5000; ++position) {
    states.values(0)[0] = static_cast<float>(position);
    if (position % 64 == 0) states.save(position);
    size_t reachable = 0, at = position;
    for (; (at = states.reachable(at)) != 0; --at) ++reachable;
    CHECK(reachable <= RecurrentState::kCheckpoints);
    CHECK(position - states.reachable(position) < 64);
  }
  // Not only the last ones are there: a longer step back does not lead to the start.
  CHECK(states.reachable(4500) >= 4000);
  for (size_t at = 5000; (at = states.reachable(at - 1)) != 0;) {
    states.rewind(at);
    CHECK_EQ(states.values(0)[0], static_cast<float>(at));
  }
}

GM_TEST(a_plan_without_states_has_no_bytes_of_them) {
  RecurrentState states((gm::Plan()));
  CHECK_EQ(states.bytes(), 0u);
  CHECK(states.empty());
  CHECK(!states.due(100000));
  states.save(5);
  states.rewind(0);
}
