// SPDX-License-Identifier: MIT
// Attention and the KV pages: the same bits on every ISA level and for every cut into calls, and
// the right numbers, against double precision.
#include <algorithm>
#include <cmath>

#include "base/half.h"
#include "check.h"
#include "kernels/kernel_table.h"
#include "levels.h"

using gm::KernelTable;
using gm::test::activations;
using gm::test::Aligned;
using gm::test::Input;
using gm::test::levels;
using gm::test::same_bits;

namespace {

struct AttentionCase {
  size_t H, G, D, S, window;  // S cached positions, the last T of which are queried
};

struct Attention {
  AttentionCase c;
  size_t T;
  std::vector<float> q, k, v;
  std::vector<std::vector<uint16_t>> k_pages, v_pages;

  Attention(const KernelTable& kernels, AttentionCase shape, size_t tokens) : c(shape), T(tokens) {
    std::mt19937 rng(31);
    q = activations(Input::Random, T * c.H * c.D, rng);
    k = activations(Input::Random, c.S * c.G * c.D, rng);
    v = activations(Input::Random, c.S * c.G * c.D, rng);
    const size_t pages = (c.S + gm::kPagePositions - 1) / gm::kPagePositions;
    const size_t size = c.G * c.D * gm::kPagePositions + 32;
    k_pages.assign(pages, std::vector<uint16_t>(size, 0));
    v_pages = k_pages;
    std::vector<uint16_t*> kp = pointers(k_pages), vp = pointers(v_pages);
    const std::vector<int32_t> positions = range(0, c.S);
    const gm::KvStoreArgs store{k.data(), v.data(),  c.G * c.D, c.G * c.D,       c.G,
                                c.D,      kp.data(), vp.data(), positions.data()};
    kernels.kv_store(store, 0, c.S);
  }
  static std::vector<uint16_t*> pointers(std::vector<std::vector<uint16_t>>& pages) {
    std::vector<uint16_t*> all;
    for (auto& page : pages) all.push_back(page.data());
    return all;
  }
  static std::vector<int32_t> range(size_t first, size_t end) {
    std::vector<int32_t> all;
    for (size_t i = first; i < end; ++i) all.push_back(static_cast<int32_t>(i));
    return all;
  }
  // step: tokens per call, at most attention_tile.
  std::vector<float> run(const KernelTable& kernels, size_t step) {
    std::vector<float> out(T * c.H * c.D);
    std::vector<uint16_t*> kp = pointers(k_pages), vp = pointers(v_pages);
    const std::vector<int32_t> positions = range(c.S - T, c.S);
    Aligned scratch(kernels.attention_scratch_bytes(c.H, c.G, c.D));
    const gm::AttentionArgs args{q.data(), c.H * c.D, out.data(),    c.H * c.D, c.H,
                                 c.G,      c.D,       kp.data(),     vp.data(), positions.data(),
                                 0.17f,    c.window,  scratch.data()};
    for (size_t g = 0; g < c.G; ++g)
      for (size_t t = 0; t < T; t += step) kernels.attention(args, g, t, std::min(t + step, T));
    return out;
  }
  // Row (t, h) in double, from the f16 values that the cache holds.
  double reference(size_t t, size_t h, size_t d) const {
    const size_t g = h / (c.H / c.G), position = c.S - T + t;
    const size_t first = c.window != 0 && position + 1 > c.window ? position + 1 - c.window : 0;
    double sum = 0.0, out = 0.0;
    for (size_t p = first; p <= position; ++p) {
      double score = 0.0;
      for (size_t i = 0; i < c.D; ++i)
        score += double{q[(t * c.H + h) * c.D + i]} *
                 double{gm::f16_to_f32(gm::f32_to_f16(k[(p * c.G + g) * c.D + i]))};
      const double weight = std::exp(score * double{0.17f});
      sum += weight;
      out += weight * double{gm::f16_to_f32(gm::f32_to_f16(v[(p * c.G + g) * c.D + d]))};
    }
    return out / sum;
  }
};

constexpr AttentionCase kAttentionCases[] = {
    {8, 4, 32, 20, 0},  {4, 4, 8, 70, 0},    {6, 2, 64, 300, 0},   {7, 1, 40, 257, 0},
    {8, 2, 128, 64, 0}, {4, 2, 16, 600, 50}, {4, 2, 16, 600, 300}, {3, 3, 24, 1, 0}};

}  // namespace

GM_TEST(attention_is_the_same_on_every_level_and_in_every_split) {
  for (const AttentionCase& c : kAttentionCases) {
    const size_t T = std::min<size_t>(c.S, 19);
    Attention scalar(*levels()[0], c, T);
    const std::vector<float> expected = scalar.run(*levels()[0], 1);
    for (const KernelTable* level : levels()) {
      Attention attention(*level, c, T);
      CHECK(attention.k_pages == scalar.k_pages);
      CHECK(attention.v_pages == scalar.v_pages);
      for (const size_t step : {size_t{1}, size_t{3}, level->attention_tile})
        CHECK(same_bits(attention.run(*level, step), expected));
    }
  }
}

GM_TEST(attention_is_right) {
  for (const AttentionCase& c : kAttentionCases) {
    const size_t T = std::min<size_t>(c.S, 5);
    Attention attention(*levels()[0], c, T);
    const std::vector<float> out = attention.run(*levels()[0], T);
    for (size_t t = 0; t < T; ++t)
      for (size_t h = 0; h < c.H; ++h)
        for (const size_t d : {size_t{0}, c.D / 2, c.D - 1}) {
          const double got = double{out[(t * c.H + h) * c.D + d]};
          CHECK(std::fabs(got - attention.reference(t, h, d)) <= 2e-5);
        }
  }
}
