// SPDX-License-Identifier: MIT
// Routes, gathered activations and weighted sums of a mixture of experts: the same bits on every
// level, and right, against double precision and against what they stand for.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "check.h"
#include "formats/activation.h"
#include "kernels/kernel_table.h"
#include "levels.h"

namespace {

using gm::ActKind;
using gm::Gating;
using gm::KernelTable;
using gm::test::activations;
using gm::test::Input;
using gm::test::kInputs;
using gm::test::levels;
using gm::test::same_bits;

constexpr Gating kGatings[] = {Gating::Softmax, Gating::Sigmoid, Gating::ChosenSoftmax};

struct Router {
  size_t E, used;
  Gating gating;
  bool normalise;
  float scale;
  std::vector<float> bias;

  // [T, 2 used]
  std::vector<float> run(const KernelTable& level, const std::vector<float>& scores) const {
    const size_t T = scores.size() / E;
    std::vector<float> row((E + 15) / 16 * 16), routes(T * 2 * used);
    const gm::RouteArgs args{
        scores.data(), E,         E,     used,       bias.empty() ? nullptr : bias.data(),
        gating,        normalise, scale, row.data(), routes.data(),
        2 * used};
    level.route(args, 0, T);
    return routes;
  }
};

// What the router should say of one token, in double precision; scores have no ties.
std::vector<double> reference(const Router& router, const float* x) {
  std::vector<double> shares(router.E);
  double sum = 0;
  for (size_t e = 0; e < router.E; ++e) sum += std::exp(double{x[e]});
  for (size_t e = 0; e < router.E; ++e) {
    if (router.gating == Gating::Softmax) shares[e] = std::exp(double{x[e]}) / sum;
    if (router.gating == Gating::Sigmoid) shares[e] = 1 / (1 + std::exp(-double{x[e]}));
    if (router.gating == Gating::ChosenSoftmax) shares[e] = double{x[e]};
  }
  std::vector<size_t> ids(router.E);
  std::iota(ids.begin(), ids.end(), size_t{0});
  const auto key = [&](size_t e) {
    return shares[e] + (router.bias.empty() ? 0 : double{router.bias[e]});
  };
  std::sort(ids.begin(), ids.end(), [&](size_t a, size_t b) { return key(a) > key(b); });
  std::vector<double> out;
  sum = 0;
  for (size_t i = 0; i < router.used; ++i) {
    double& share = shares[ids[i]];
    if (router.gating == Gating::ChosenSoftmax) share = std::exp(share);
    sum += share;
    out.push_back(static_cast<double>(ids[i]));
  }
  const bool divide = router.normalise || router.gating == Gating::ChosenSoftmax;
  for (size_t i = 0; i < router.used; ++i)
    out.push_back(shares[ids[i]] / (divide ? sum : 1.0) * double{router.scale});
  return out;
}

// Quantized rows as every kind of activations.
struct Acts {
  std::vector<uint32_t> kinds[gm::kActKindCount];
  Acts(const KernelTable& level, const std::vector<float>& x, size_t T, size_t K) {
    gm::QuantizeArgs args{x.data(), K, T, K, {}};
    for (size_t kind = 0; kind < gm::kActKindCount; ++kind) {
      kinds[kind].assign(T * gm::act_dwords(static_cast<ActKind>(kind), K), 7);
      args.act[kind] = kinds[kind].data();
    }
    level.quantize(args, 0, T);
  }
};

}  // namespace

GM_TEST(routes_are_right) {
  std::mt19937 rng(3);
  for (const Gating gating : kGatings) {
    for (const auto& [E, used] : {std::pair<size_t, size_t>{1, 1}, {5, 5}, {33, 4}, {128, 17}}) {
      for (const bool biased : {false, true}) {
        const Router router{
            E,       used, gating,
            !biased, 2.5f, biased ? activations(Input::Random, E, rng) : std::vector<float>{}};
        const std::vector<float> scores = activations(Input::Random, 9 * E, rng);
        for (const KernelTable* level : levels()) {
          const std::vector<float> routes = router.run(*level, scores);
          CHECK(same_bits(routes, router.run(*levels()[0], scores)));
          for (size_t t = 0; t < 9; ++t) {
            const std::vector<double> expected = reference(router, scores.data() + t * E);
            for (size_t i = 0; i < 2 * used; ++i)
              CHECK(std::fabs(double{routes[t * 2 * used + i]} - expected[i]) <= 3e-6);
          }
        }
      }
    }
  }
}

// Whatever the scores are, the ids exist and differ: the steps behind rely on it.
GM_TEST(ids_are_valid_for_any_scores) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr size_t E = 21;
  std::mt19937 rng(4);
  std::vector<std::vector<float>> cases = {
      std::vector<float>(E, kNan), std::vector<float>(E, kInfinity),
      std::vector<float>(E, -kInfinity), std::vector<float>(E, 0)};
  for (const Input input : kInputs) cases.push_back(activations(input, E, rng));
  for (int i = 0; i < 40; ++i) {
    std::vector<float> mixed = activations(Input::Mixed, E, rng);
    for (float& x : mixed) x = rng() % 3 == 0 ? (rng() % 2 == 0 ? kNan : kInfinity) : x;
    cases.push_back(mixed);
  }
  for (const std::vector<float>& scores : cases) {
    for (const Gating gating : kGatings) {
      for (const size_t used : {size_t{1}, size_t{6}, E}) {
        for (const KernelTable* level : levels()) {
          const std::vector<float> routes =
              Router{E, used, gating, true, 1, {}}.run(*level, scores);
          const std::set<float> ids(routes.begin(), routes.begin() + static_cast<ptrdiff_t>(used));
          CHECK_EQ(ids.size(), used);
          for (const float id : ids) CHECK(id >= 0 && id < E && id == std::floor(id));
        }
      }
    }
  }
}

GM_TEST(equal_scores_choose_the_first) {
  for (const KernelTable* level : levels()) {
    const std::vector<float> routes =
        Router{7, 3, Gating::Softmax, true, 1, {}}.run(*level, {1, 2, 1, 2, 0, 1, 1});
    CHECK_EQ(routes[0], 1.0f);
    CHECK_EQ(routes[1], 3.0f);
    CHECK_EQ(routes[2], 0.0f);
  }
}

// What is gathered is what quantizing the tokens in their new order gives.
GM_TEST(gathering_is_quantizing_in_another_order) {
  constexpr size_t K = 512;
  std::mt19937 rng(5);
  for (const size_t from_T : {1u, 2u, 7u, 16u, 45u}) {
    const std::vector<float> x = activations(Input::Mixed, from_T * K, rng);
    for (const size_t T : {1u, 3u, 12u, 31u}) {
      std::vector<uint32_t> tokens(T);
      std::vector<float> sorted;
      for (uint32_t& token : tokens) {
        token = static_cast<uint32_t>(rng() % from_T);
        sorted.insert(sorted.end(), x.begin() + token * K, x.begin() + (token + 1) * K);
      }
      for (const KernelTable* level : levels()) {
        Acts from(*level, x, from_T, K), to(*level, std::vector<float>(T * K), T, K);
        const Acts expected(*level, sorted, T, K);
        gm::GatherArgs args{{}, {}, tokens.data(), from_T, T, K};
        for (size_t kind = 0; kind < gm::kActKindCount; ++kind) {
          args.from[kind] = from.kinds[kind].data();
          args.to[kind] = to.kinds[kind].data();
        }
        level->gather(args);
        for (size_t kind = 0; kind < gm::kActKindCount; ++kind)
          CHECK(same_bits(to.kinds[kind], expected.kinds[kind]));
      }
    }
  }
}

GM_TEST(sums_are_right) {
  std::mt19937 rng(6);
  for (const size_t D : {1u, 16u, 39u, 256u}) {
    for (const bool accumulate : {false, true}) {
      constexpr size_t T = 3, used = 5;
      const size_t stride = D + 16;
      const std::vector<float> rows = activations(Input::Random, T * used * stride, rng);
      const std::vector<float> shares = activations(Input::Random, T * used, rng);
      std::vector<uint32_t> places(T * used);
      std::iota(places.begin(), places.end(), 0u);
      std::shuffle(places.begin(), places.end(), rng);
      std::vector<float> first;
      for (const KernelTable* level : levels()) {
        std::vector<float> out(T * D, 0.5f);
        const gm::CombineArgs args{rows.data(),   stride, D,          used, places.data(),
                                   shares.data(), used,   out.data(), D,    accumulate};
        level->combine(args, 0, T);
        if (first.empty()) first = out;
        CHECK(same_bits(out, first));
        for (size_t i = 0; i < T * D; ++i) {
          double sum = accumulate ? 0.5 : 0.0;
          for (size_t c = i / D * used; c < (i / D + 1) * used; ++c)
            sum += double{shares[c]} * double{rows[places[c] * stride + i % D]};
          CHECK(std::fabs(double{out[i]} - sum) <= 2e-5);
        }
      }
    }
  }
}
