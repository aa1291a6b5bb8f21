// SPDX-License-Identifier: MIT
// Attention and the KV pages: the same bits on every ISA level and for every cut into calls, and
// the right numbers, against double precision over what the pages hold.
#include <algorithm>
#include <cmath>

#include "base/half.h"
#include "check.h"
#include "kernels/kernel_table.h"
#include "levels.h"

using gm::KernelTable;
using gm::KvType;
using gm::test::activations;
using gm::test::Aligned;
using gm::test::emulated;
using gm::test::Input;
using gm::test::levels;
using gm::test::same_bits;

namespace {

constexpr KvType kTypes[] = {KvType::F16, KvType::Q8_0, KvType::Q4_0};
constexpr float kScale = 0.17f;
using Pages = std::vector<std::vector<uint8_t>>;

struct AttentionCase {
  size_t H, G, D, S, window;  // S cached positions, the last T of which are queried
  Input input = Input::Random;
  float softcap = 0.0f;
  bool both = false;  // ways: a token sees those after it, too
  bool sinks = false;
};

// Value (position, channel d) of head g, read by the map in formats/kv_page.h.
double page_value(KvType type, const Pages& pages, size_t g, size_t D, size_t position, size_t d,
                  bool key) {
  const uint8_t* head =
      pages[position / gm::kPagePositions].data() + g * gm::kv_head_bytes(type, D);
  const size_t slot = position % gm::kPagePositions;
  const auto half = [&](size_t index) {
    return double{
        gm::f16_to_f32(static_cast<uint16_t>(head[2 * index] | head[2 * index + 1] << 8))};
  };
  if (type == KvType::F16) return half(key ? d * 64 + slot : slot * D + d);
  const size_t byte = slot / 16 == 1 ? 2 : slot / 16 == 2 ? 1 : slot / 16;
  const double scale = half((gm::kv_value_bytes(type, D) / 2) + d / 32 * 64 + slot);
  if (type == KvType::Q8_0) {
    const size_t at =
        key ? (d / 4 * 64 + slot) * 4 + d % 4 : (d / 16 * 16 + slot % 16) * 64 + d % 16 * 4 + byte;
    return scale * static_cast<int8_t>(head[at]);
  }
  const size_t at =
      key ? (d / 8 * 64 + slot) * 4 + d % 4 : (d / 32 * 16 + slot % 16) * 64 + d % 16 * 4 + byte;
  const bool high = key ? d % 8 >= 4 : d % 32 >= 16;
  return scale * ((high ? head[at] >> 4 : head[at] & 15) - 8);
}

struct Attention {
  AttentionCase c;
  KvType type;
  size_t T;
  std::vector<float> q, k, v, sinks;
  Pages k_pages, v_pages;

  Attention(const KernelTable& kernels, AttentionCase shape, KvType kv, size_t tokens)
      : c(shape), type(kv), T(tokens) {
    std::mt19937 rng(31);
    q = activations(Input::Random, T * c.H * c.D, rng);
    k = activations(c.input, c.S * c.G * c.D, rng);
    v = activations(c.input, c.S * c.G * c.D, rng);
    if (c.sinks) sinks = activations(Input::Random, c.H, rng);
    const size_t pages = (c.S + gm::kPagePositions - 1) / gm::kPagePositions;
    k_pages.assign(pages, std::vector<uint8_t>(c.G * gm::kv_head_bytes(type, c.D) + 64, 0));
    v_pages = k_pages;
    std::vector<uint8_t*> kp = pointers(k_pages), vp = pointers(v_pages);
    const std::vector<int32_t> positions = range(0, c.S);
    const gm::KvStoreArgs store{k.data(), v.data(),  c.G * c.D, c.G * c.D,       c.G,
                                c.D,      kp.data(), vp.data(), positions.data()};
    kernels.kv_store[index()](store, 0, c.S);
  }
  size_t index() const { return static_cast<size_t>(type); }
  static std::vector<uint8_t*> pointers(Pages& pages) {
    std::vector<uint8_t*> all;
    for (auto& page : pages) all.push_back(page.data());
    return all;
  }
  static std::vector<int32_t> range(size_t first, size_t end) {
    std::vector<int32_t> all;
    for (size_t i = first; i < end; ++i) all.push_back(static_cast<int32_t>(i));
    return all;
  }
  // step: tokens per call, at most attention_tile; run: chunks per call, 0: all of them at once.
  std::vector<float> run(const KernelTable& kernels, size_t step, size_t run = 0) {
    std::vector<float> out(T * c.H * c.D);
    std::vector<uint8_t*> kp = pointers(k_pages), vp = pointers(v_pages);
    const std::vector<int32_t> positions = range(c.S - T, c.S);
    Aligned scratch(kernels.attention_scratch_bytes(type, c.H, c.G, c.D));
    const size_t chunks = (c.S + gm::kChunkPositions - 1) / gm::kChunkPositions;
    Aligned parts(T * c.H * chunks * gm::attention_part_floats(c.D) * sizeof(float));
    const gm::AttentionArgs args{q.data(),
                                 c.H * c.D,
                                 out.data(),
                                 c.H * c.D,
                                 c.H,
                                 c.G,
                                 c.D,
                                 kp.data(),
                                 vp.data(),
                                 positions.data(),
                                 kScale,
                                 c.window,
                                 scratch.data(),
                                 reinterpret_cast<float*>(parts.data()),
                                 chunks,
                                 c.softcap,
                                 c.both ? c.S : 0,
                                 c.sinks ? sinks.data() : nullptr};
    for (size_t g = 0; g < c.G; ++g) {
      for (size_t t = 0; t < T; t += step) {
        gm::AttentionCut cut{g, t, std::min(t + step, T), run == 0, 0, 0};
        const size_t end = c.S - T + cut.t1, begin = c.S - T + t + 1;
        const size_t first = c.window != 0 && begin > c.window ? begin - c.window : 0;
        if (run == 0) kernels.attention[index()](args, cut);
        for (cut.chunk0 = first / gm::kChunkPositions;
             run != 0 && cut.chunk0 * gm::kChunkPositions < end; cut.chunk0 += run) {
          cut.chunk1 = std::min(cut.chunk0 + run, (end - 1) / gm::kChunkPositions + 1);
          kernels.attention[index()](args, cut);
        }
      }
    }
    for (size_t row = 0; run != 0 && row < T * c.H; row += 3)
      kernels.attention_merge(args, row, std::min(row + 3, T * c.H));
    return out;
  }
  // The query as the kernel takes it: times the scale, and quantized where the pages are.
  std::vector<double> query(size_t t, size_t h) const {
    std::vector<double> x(c.D);
    for (size_t b = 0; b < c.D; b += 32) {
      const size_t end = std::min(b + 32, c.D);
      float most = 0.0f;
      std::vector<float> scaled;
      for (size_t i = b; i < end; ++i) {
        scaled.push_back(q[(t * c.H + h) * c.D + i] * (kScale * 1.44269504f));
        most = std::max(most, std::fabs(scaled.back()));
      }
      for (size_t i = b; i < end; ++i) {
        const float value = scaled[i - b];
        x[i] = type == KvType::F16
                   ? double{value}
                   : std::nearbyint(double{value} * double{127.0f / most}) * double{most} / 127.0;
      }
    }
    return x;
  }
  // Row (t, h) in double.
  std::vector<double> reference(size_t t, size_t h) const {
    const size_t g = h / (c.H / c.G), position = c.S - T + t;
    const size_t back = c.both ? c.window / 2 : c.window - 1;
    const size_t first = c.window != 0 && position > back ? position - back : 0;
    size_t last = position;
    if (c.both) last = c.window == 0 ? c.S - 1 : std::min(c.S - 1, position + c.window / 2);
    const std::vector<double> x = query(t, h);
    std::vector<double> scores;
    for (size_t p = first; p <= last; ++p) {
      double score = 0.0;
      for (size_t d = 0; d < c.D; ++d)
        score += x[d] * page_value(type, k_pages, g, c.D, p, d, true);
      // The scores are to base 2, the cap is to base e.
      const double cap = double{c.softcap} * 1.44269504;
      scores.push_back(cap == 0 ? score : cap * std::tanh(score / cap));
    }
    const double top = *std::max_element(scores.begin(), scores.end());
    std::vector<double> out(c.D, 0.0);
    double sum = c.sinks ? std::exp2(double{sinks[h]} * 1.44269504 - top) : 0.0;
    for (size_t p = first; p <= last; ++p) {
      const double weight = std::exp2(scores[p - first] - top);
      sum += weight;
      for (size_t d = 0; d < c.D; ++d)
        out[d] += weight * page_value(type, v_pages, g, c.D, p, d, false);
    }
    for (double& value : out) value /= sum;
    return out;
  }
};

// Ratios of heads, head sizes, page and chunk borders, windows, values of very different size.
constexpr AttentionCase kAttentionCases[] = {{8, 4, 32, 20, 0},
                                             {4, 4, 8, 70, 0},
                                             {6, 2, 64, 300, 0},
                                             {7, 1, 40, 257, 0},
                                             {8, 2, 128, 64, 0},
                                             {13, 1, 96, 256, 0},
                                             {4, 2, 16, 600, 50},
                                             {4, 2, 32, 600, 50},
                                             {4, 2, 64, 600, 300},
                                             {24, 1, 32, 1025, 0},
                                             {5, 5, 64, 65, 0},
                                             {3, 3, 24, 1, 0},
                                             {2, 1, 32, 1, 0},
                                             {8, 1, 64, 545, 0, Input::Mixed},
                                             {2, 2, 32, 97, 0, Input::OneSpike},
                                             {2, 2, 32, 40, 0, Input::Zero},
                                             {6, 2, 64, 300, 0, Input::Random, 2.0f},
                                             {4, 2, 32, 600, 50, Input::Random, 0.5f},
                                             {4, 4, 32, 19, 0, Input::Random, 0.0f, true},
                                             {6, 6, 32, 300, 0, Input::Random, 0.0f, true},
                                             {4, 2, 64, 600, 0, Input::Random, 2.0f, true},
                                             {4, 4, 32, 600, 51, Input::Random, 0.0f, true},
                                             {3, 1, 24, 270, 8, Input::Random, 0.0f, true},
                                             {8, 2, 64, 300, 0, Input::Random, 0.0f, false, true},
                                             {4, 2, 32, 600, 50, Input::Random, 0.0f, false, true}};

bool fits(KvType type, const AttentionCase& c) {
  return type == KvType::F16 ? c.input == Input::Random : c.D % 32 == 0;
}

}  // namespace

GM_TEST(attention_is_the_same_on_every_level_and_in_every_cut) {
  for (const KvType type : kTypes) {
    for (const AttentionCase& c : kAttentionCases) {
      if (!fits(type, c)) continue;
      const size_t T = std::min<size_t>(c.S, c.both ? 200 : 19);
      Attention scalar(*levels()[0], c, type, T);
      const std::vector<float> expected = scalar.run(*levels()[0], 1);
      for (const KernelTable* level : levels()) {
        Attention attention(*level, c, type, T);
        CHECK(attention.k_pages == scalar.k_pages);
        CHECK(attention.v_pages == scalar.v_pages);
        const size_t tile = gm::attention_tile(c.H / c.G);
        for (const size_t step : {size_t{1}, std::min<size_t>(3, tile), tile})
          for (const size_t run : {0, 1, 2})
            if (!(c.both && run != 0) && (!emulated() || (step == tile && run != 1)))
              CHECK(same_bits(attention.run(*level, step, run), expected));
      }
    }
  }
}

GM_TEST(attention_is_right) {
  for (const KvType type : kTypes) {
    for (const AttentionCase& c : kAttentionCases) {
      if (!fits(type, c)) continue;
      // Both ways the first tokens have most before them.
      const size_t T = std::min<size_t>(c.S, c.both ? 70 : 5);
      Attention attention(*levels()[0], c, type, T);
      const std::vector<float> out =
          attention.run(*levels()[0], std::min(T, gm::attention_tile(c.H / c.G)));
      for (size_t t = 0; t < T; ++t) {
        for (size_t h = 0; h < c.H; ++h) {
          const std::vector<double> expected = attention.reference(t, h);
          double most = 1.0, error = 0.0;
          for (size_t d = 0; d < c.D; ++d) {
            const double got = double{out[(t * c.H + h) * c.D + d]};
            most = std::max(most, std::fabs(expected[d]));
            error = std::max(error, std::fabs(got - expected[d]));
          }
          // Weights of 15 bits: 256 roundings of at most most / 65534, by chance of either sign.
          CHECK(error <= (type == KvType::F16 ? 2e-5 : 5e-4) * most);
        }
      }
    }
  }
}

// What a page holds is the value, to half a step of its scale.
GM_TEST(pages_hold_the_values) {
  const AttentionCase c{2, 2, 64, 131, 0, Input::Mixed};
  for (const KvType type : {KvType::Q8_0, KvType::Q4_0}) {
    Attention attention(*levels()[0], c, type, 1);
    for (const bool key : {true, false}) {
      const std::vector<float>& x = key ? attention.k : attention.v;
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t d = i % c.D, g = i / c.D % c.G, p = i / (c.D * c.G);
        float most = 0.0f;
        for (size_t j = i - i % 32; j < i - i % 32 + 32; ++j)
          most = std::max(most, std::fabs(x[j]));
        const double got =
            page_value(type, key ? attention.k_pages : attention.v_pages, g, c.D, p, d, key);
        // Half a step, a whole one where 16 became 15; f16 scales are good to 2^-11, or 2^-25.
        const double step = double{most} / (type == KvType::Q8_0 ? 127.0 : 8.0);
        const double bound = (type == KvType::Q8_0 ? 0.501 : 1.001) * step + double{most} / 2048.0;
        CHECK(std::fabs(got - double{x[i]}) <= bound + 127.0 * std::pow(2.0, -25));
      }
    }
  }
}

// A position is written without touching the others.
GM_TEST(writing_a_position_again_changes_nothing_else) {
  const AttentionCase c{2, 2, 32, 64, 0};
  for (const KvType type : kTypes) {
    Attention attention(*levels()[0], c, type, 1);
    const Pages k_before = attention.k_pages, v_before = attention.v_pages;
    std::vector<uint8_t*> kp = Attention::pointers(attention.k_pages);
    std::vector<uint8_t*> vp = Attention::pointers(attention.v_pages);
    for (const int32_t position : {0, 17, 33, 63}) {
      const std::vector<float> big(c.G * c.D, 100.0f);
      const size_t at = static_cast<size_t>(position) * c.G * c.D;
      const auto write = [&](const float* k, const float* v) {
        const gm::KvStoreArgs store{k, v, 0, 0, c.G, c.D, kp.data(), vp.data(), &position};
        levels()[0]->kv_store[attention.index()](store, 0, 1);
      };
      write(big.data(), big.data());
      CHECK(attention.k_pages != k_before);
      CHECK(attention.v_pages != v_before);
      write(attention.k.data() + at, attention.v.data() + at);
      CHECK(attention.k_pages == k_before);
      CHECK(attention.v_pages == v_before);
    }
  }
}
