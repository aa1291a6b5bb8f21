// SPDX-License-Identifier: MIT
// The bits of every kernel, recorded: the same constants hold on x86-64 and on ARM, whatever
// compiled them. Input comes from integers alone, as the distributions and functions of a standard
// library may differ. A change of the arithmetic, or a new format, means a new constant here: the
// failure says which. kernels_test and attention_test tell where levels differ and what is right.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <string>

#include "base/hash.h"
#include "check.h"
#include "formats/activation.h"
#include "levels.h"
#include "panels/panel.h"

namespace {

using gm::ActKind;
using gm::Format;
using gm::KernelTable;
using gm::KvType;
using gm::test::Aligned;
using gm::test::levels;

const std::map<std::string, uint64_t> kRecorded = {
    {"attention both ways f16", 0xb0deda935b9cda60},
    {"attention both ways q8_0", 0x293515334d451c84},
    {"attention both ways q4_0", 0x205e30797c37da75},
    {"attention f16", 0x6c8bec13a9a26c24},
    {"attention q4_0", 0xc41676782e95ce97},
    {"attention q8_0", 0xef82483bd7ba1183},
    {"linear BF16", 0xbd82afaa5ee4c0c1},
    {"linear F16", 0xf886c78d1f3d157b},
    {"linear F32", 0xead51e877e05717b},
    {"linear IQ1_M", 0x204434a83e4e7203},
    {"linear IQ1_S", 0x338afd804168e994},
    {"linear IQ2_S", 0x40c9ccc1e784d84b},
    {"linear IQ2_XS", 0x5c7133e737f29402},
    {"linear IQ2_XXS", 0xc20264538870c2c5},
    {"linear IQ3_S", 0x87e3dfc79e3e96ec},
    {"linear IQ3_XXS", 0x8d226752066f7936},
    {"linear IQ4_NL", 0x3a2993aaa7882065},
    {"linear IQ4_XS", 0x4156d141327eeb71},
    {"linear MXFP4", 0x16fe882644196935},
    {"linear NVFP4", 0x0f7907f2b075d87d},
    {"linear Q1_0", 0x418c0a262c374660},
    {"linear Q2_0", 0x7b6a6532614e1752},
    {"linear Q2_K", 0xe4a2d315086d6de6},
    {"linear Q3_K", 0x23f8bf0b0aebd8fe},
    {"linear Q4_0", 0x7f4048b1b45598d1},
    {"linear Q4_1", 0xe5fe8e48e2511b7b},
    {"linear Q4_K", 0x054711c47588f605},
    {"linear Q5_0", 0x16d68f86063b7f5d},
    {"linear Q5_1", 0x3b57a029c08bf1a9},
    {"linear Q5_K", 0x5cc10e196fda506b},
    {"linear Q6_K", 0x71d6b017e5f00bf8},
    {"linear Q8_0", 0x924c4ec8a1b3a8c8},
    {"linear TQ1_0", 0x8a5237f06f339d3f},
    {"linear TQ2_0", 0xd694f2fc52ce5fe7},
    {"logits", 0x4faee49d89251b63},
    {"pages f16", 0x9598177e3a4d3e1a},
    {"pages q4_0", 0xd88314bf67495b77},
    {"pages q8_0", 0x834e2b5f72744aad},
    {"quantize 256", 0x876ed82a662d7c01},
    {"quantize 32", 0x8ad8d13f28b308db},
    {"rms_norm", 0xf9c0cc183b75d914},
    {"rope", 0x6c11096d73594757},
    {"swiglu", 0x782a2362f2cb5126},
    {"geglu", 0x1c7aba80eb6b70ce},
    {"layer_norm", 0xf05acd0adc203fd1},
    {"tanh", 0x325e7c02535a6839},
    {"geglu tanh", 0x6f8ea7475acc0fe3},
    {"rms_norm heads", 0xea9ad03f3425893a},
    {"rope scaled", 0x3d8012fa174d6cb3},
    {"soft cap", 0xc6fa86ff3f3f7b69},
    {"combine", 0xcb9f8768b3b1a93f},
    {"route", 0x700c07ab1672a426},
    {"sinks f16", 0x21e14c2b89def531},
    {"sinks q4_0", 0xa02666c6df722fa1},
    {"sinks q8_0", 0xf8254b60f3de80b8},
    {"swiglu oai", 0x96ded3819242d719},
    {"sigmoid gate", 0x8745064a60ddd582},
    {"gate", 0x81c3f5a47b60afe1},
    {"short_conv", 0x3851f19b3f172226},
    {"delta_prepare", 0x6ad4bcf1aa047af5},
    {"delta_rule", 0x0afae76cac9498c2},
    {"fit", 0xb054e38173789509},
};

void check_bits(const std::string& what, const KernelTable& level, uint64_t hash) {
  const auto at = kRecorded.find(what);
  if (at != kRecorded.end() && at->second == hash) return;
  const std::string known = at == kRecorded.end() ? "is not recorded" : "has other bits";
  gm::test::fail(__FILE__, __LINE__, what + " " + known + " on " + level.name);
  std::printf("    {\"%s\", 0x%016llx},\n", what.c_str(), static_cast<unsigned long long>(hash));
}

template <class T>
uint64_t hash_of(const std::vector<T>& x, uint64_t seed = 0) {
  return gm::hash64({reinterpret_cast<const uint8_t*>(x.data()), x.size() * sizeof(T)}, seed);
}

// Integers of 24 bits times a power of two that 32 of them share.
std::vector<float> values(size_t n, uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<float> x(n);
  int exponent = 0;
  for (size_t i = 0; i < n; ++i) {
    if (i % 32 == 0) exponent = static_cast<int>(rng() % 9) - 26;
    x[i] = std::ldexp(static_cast<float>(static_cast<int32_t>(rng() >> 8) - (1 << 23)), exponent);
  }
  return x;
}

// Random blocks. Those that hold NaN, infinities or huge values lose bit 6 of every byte, which is
// the top bit of the exponent of every kind of scale.
std::vector<uint8_t> random_blocks(Format format, size_t blocks, uint32_t seed) {
  const gm::TypeInfo info = gm::type_info(format);
  std::mt19937 rng(seed);
  std::vector<uint8_t> bytes(blocks * info.block_bytes);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng());
  std::vector<float> x(info.block_values);
  for (size_t b = 0; b < blocks; ++b) {
    uint8_t* block = bytes.data() + b * info.block_bytes;
    gm::decode_row(format)(block, x.data(), x.size());
    bool tame = true;
    for (const float value : x) tame = tame && std::fabs(value) < 4096.0f;
    for (size_t i = 0; i < info.block_bytes && !tame; ++i) block[i] &= 0xbf;
  }
  return bytes;
}

std::vector<float> linear(const KernelTable& kernels, Format format, size_t T) {
  const gm::TypeInfo info = gm::type_info(format);
  const size_t rows = 21, K = info.block_values == 1 ? 77 : info.block_values == 32 ? 352 : 512;
  const std::vector<uint8_t> weights =
      random_blocks(format, rows * K / info.block_values, info.id + 1);
  std::vector<uint8_t> panels(gm::packed_bytes(format, rows, K));
  gm::pack_panels(format, weights.data(), rows, K, panels.data(), 0, 2);
  const std::vector<float> x = values(T * K, 7);
  std::vector<uint32_t> act(gm::act_dwords(info.act, K) * T);
  gm::QuantizeArgs quant{x.data(), K, T, K, {}};
  quant.act[static_cast<size_t>(info.act)] = act.data();
  kernels.quantize(quant, 0, T);
  std::vector<float> out(T * rows, 0.25f);
  Aligned scratch(kernels.linear_scratch_bytes(T));
  kernels.linear[static_cast<size_t>(format)](
      {panels.data(), rows, K, act.data(), T, out.data(), rows, true, scratch.data()}, 0, 2);
  return out;
}

struct Attention {
  static constexpr size_t H = 6, G = 2, D = 64, S = 300, T = 3;
  KvType type;
  std::vector<std::vector<uint8_t>> k_pages, v_pages;
  std::vector<uint8_t*> k, v;

  Attention(const KernelTable& kernels, KvType kv) : type(kv) {
    const std::vector<float> keys = values(S * G * D, 3), contents = values(S * G * D, 4);
    k_pages.assign(5, std::vector<uint8_t>(G * gm::kv_head_bytes(type, D), 0));
    v_pages = k_pages;
    for (auto& page : k_pages) k.push_back(page.data());
    for (auto& page : v_pages) v.push_back(page.data());
    const std::vector<int32_t> positions = range(0, S);
    kernels.kv_store[index()](
        {keys.data(), contents.data(), G * D, G * D, G, D, k.data(), v.data(), positions.data()}, 0,
        S);
  }
  size_t index() const { return static_cast<size_t>(type); }
  static std::vector<int32_t> range(size_t first, size_t end) {
    std::vector<int32_t> all;
    for (size_t i = first; i < end; ++i) all.push_back(static_cast<int32_t>(i));
    return all;
  }
  uint64_t page_bits() const {
    uint64_t hash = 0;
    for (const auto& page : k_pages) hash = hash_of(page, hash);
    for (const auto& page : v_pages) hash = hash_of(page, hash);
    return hash;
  }
  // Whole, or chunk by chunk and merged.
  std::vector<float> run(const KernelTable& kernels, bool whole, size_t length = 0,
                         const float* sinks = nullptr) {
    const std::vector<float> q = values(T * H * D, 5);
    const std::vector<int32_t> positions = range(S - T, S);
    std::vector<float> out(T * H * D), parts(T * H * 2 * gm::attention_part_floats(D));
    Aligned scratch(kernels.attention_scratch_bytes(type, H, G, D));
    const gm::AttentionArgs args{
        q.data(), H * D,      out.data(),     H * D,        H,
        G,        D,          k.data(),       v.data(),     positions.data(),
        0.125f,   length / 2, scratch.data(), parts.data(), 2,
        0.0f,     length,     sinks};
    for (size_t g = 0; g < G; ++g)
      for (size_t chunk = 0; chunk < (whole ? 1 : 2); ++chunk)
        kernels.attention[index()](args, {g, 0, T, whole, chunk, chunk + 1});
    if (!whole) kernels.attention_merge(args, 0, T * H);
    return out;
  }
};

}  // namespace

GM_TEST(linear_has_the_recorded_bits) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const Format format = static_cast<Format>(f);
    for (const KernelTable* level : levels()) {
      uint64_t hash = 0;
      for (const size_t T : {1u, 2u, 7u}) hash = hash_of(linear(*level, format, T), hash);
      check_bits("linear " + std::string(gm::type_info(format).name), *level, hash);
    }
  }
}

GM_TEST(attention_has_the_recorded_bits) {
  for (const KvType type : {KvType::F16, KvType::Q8_0, KvType::Q4_0}) {
    const std::string name = gm::kKvTypeNames[static_cast<size_t>(type)];
    for (const KernelTable* level : levels()) {
      Attention attention(*level, type);
      check_bits("pages " + name, *level, attention.page_bits());
      for (const bool whole : {true, false})
        check_bits("attention " + name, *level, hash_of(attention.run(*level, whole)));
      check_bits("attention both ways " + name, *level,
                 hash_of(attention.run(*level, true, Attention::S)));
      const std::vector<float> sinks = values(Attention::H, 41);
      check_bits("sinks " + name, *level, hash_of(attention.run(*level, true, 0, sinks.data())));
    }
  }
}

GM_TEST(activations_have_the_recorded_bits) {
  constexpr size_t K = 512;
  const std::vector<float> x = values(2 * K, 11);
  for (const KernelTable* level : levels()) {
    for (const ActKind kind : {ActKind::Q8_32, ActKind::Q8_256}) {
      std::vector<uint32_t> act(gm::act_dwords(kind, K));
      gm::QuantizeArgs args{x.data(), K, 1, K, {}};
      args.act[static_cast<size_t>(kind)] = act.data();
      level->quantize(args, 0, 1);
      check_bits(kind == ActKind::Q8_32 ? "quantize 32" : "quantize 256", *level, hash_of(act));
    }
    std::vector<float> row(K), out(K);
    level->rms_norm({{x.data(), K, 1, K, {}}, x.data() + K, 1e-5f, row.data(), out.data(), K}, 0,
                    1);
    check_bits("rms_norm", *level, hash_of(out));
    // 16 heads of 32, added to what is there.
    level->rms_norm(
        {{x.data(), K, 1, K, {}}, x.data() + K, 1e-5f, row.data(), out.data(), K, 16, true}, 0, 1);
    check_bits("rms_norm heads", *level, hash_of(out));
    gm::GluArgs glu{{x.data(), K, 1, K, {}}, x.data() + K, K, row.data()};
    glu.quant.act[static_cast<size_t>(ActKind::F32)] = reinterpret_cast<uint32_t*>(out.data());
    level->glu[static_cast<size_t>(gm::Activation::Silu)](glu, 0, 1);
    check_bits("swiglu", *level, hash_of(out));
    level->glu[static_cast<size_t>(gm::Activation::GeluTanh)](glu, 0, 1);
    check_bits("geglu tanh", *level, hash_of(out));
    level->glu[static_cast<size_t>(gm::Activation::SwigluOai)](glu, 0, 1);
    check_bits("swiglu oai", *level, hash_of(out));
    level->glu[static_cast<size_t>(gm::Activation::Sigmoid)](glu, 0, 1);
    check_bits("sigmoid gate", *level, hash_of(out));
    level->glu[static_cast<size_t>(gm::Activation::None)](glu, 0, 1);
    check_bits("gate", *level, hash_of(out));
    level->glu[static_cast<size_t>(gm::Activation::Gelu)](glu, 0, 1);
    check_bits("geglu", *level, hash_of(out));
    glu.up = nullptr;
    level->glu[static_cast<size_t>(gm::Activation::Tanh)](glu, 0, 1);
    check_bits("tanh", *level, hash_of(out));
    level->layer_norm(
        {{x.data(), K, 1, K, {}}, x.data() + K, x.data(), 1e-5f, row.data(), out.data(), K}, 0, 1);
    check_bits("layer_norm", *level, hash_of(out));
  }
}

GM_TEST(experts_have_the_recorded_bits) {
  constexpr size_t E = 53, used = 6, D = 77;
  const std::vector<float> scores = values(2 * E, 29), rows = values(2 * used * D, 31);
  const std::vector<float> bias = values(E, 37);
  std::vector<uint32_t> places;
  for (uint32_t i = 0; i < 2 * used; ++i) places.push_back(i * 5 % (2 * used));
  for (const KernelTable* level : levels()) {
    uint64_t hash = 0;
    std::vector<float> row(64), routes(4 * used), out(2 * D);
    for (const gm::Gating gating :
         {gm::Gating::Softmax, gm::Gating::Sigmoid, gm::Gating::ChosenSoftmax}) {
      level->route({scores.data(), E, E, used, bias.data(), gating, true, 1.7f, row.data(),
                    routes.data(), 2 * used},
                   0, 2);
      hash = hash_of(routes, hash);
    }
    check_bits("route", *level, hash);
    level->combine({rows.data(), D, D, used, places.data(), routes.data() + used, 2 * used,
                    out.data(), D, false},
                   0, 2);
    check_bits("combine", *level, hash_of(out));
  }
}

GM_TEST(recurrent_operations_have_the_recorded_bits) {
  constexpr size_t T = 5, C = 40, taps = 4, G = 2, H = 4, K = 22, V = 24, W = 2 * G * K + H * V;
  const std::vector<float> x = values(T * W, 23), rate(H, -0.3f), shift = values(H, 29);
  for (const KernelTable* level : levels()) {
    std::vector<float> out(T * C), history = values((taps - 1) * C, 31);
    gm::ShortConvArgs conv{x.data(),
                           C,
                           x.data() + T * C,
                           C,
                           out.data(),
                           C,
                           C,
                           taps,
                           x.data() + 9,
                           x.data() + 99,
                           history.data(),
                           7,
                           true};
    level->short_conv(conv, 0, T);
    check_bits("short_conv", *level, hash_of(out));

    std::vector<float> qkv = x, alpha = values(T * H, 37), beta = values(T * H, 41);
    std::vector<float> found(T * H * V), state = values(H * gm::delta_state_floats(K, V), 43);
    gm::DeltaRuleArgs delta{qkv.data(),
                            W,
                            alpha.data(),
                            H,
                            beta.data(),
                            H,
                            found.data(),
                            H * V,
                            T,
                            G,
                            H,
                            K,
                            V,
                            rate.data(),
                            shift.data(),
                            1e-6f,
                            state.data()};
    level->delta_prepare(delta, 0, T);
    check_bits("delta_prepare", *level, hash_of(beta, hash_of(alpha, hash_of(qkv))));
    level->delta_rule(delta, 0, H * gm::delta_blocks(V));
    check_bits("delta_rule", *level, hash_of(state, hash_of(found)));
  }
}

GM_TEST(searches_have_the_recorded_bits) {
  for (const KernelTable* level : levels()) {
    uint64_t hash = 0;
    for (uint32_t f = 0; f < gm::kFormatCount; ++f) {
      if (level->fit[f] == nullptr) continue;
      const gm::TypeInfo info = gm::type_info(static_cast<Format>(f));
      const std::vector<float> x = values(16 * info.block_values, 47 + f);
      std::vector<float> w = values(x.size(), 53 + f);
      for (float& weight : w) weight = std::fabs(weight);
      gm::BlockParts parts[16];
      level->fit[f](x.data(), w.data(), parts);
      std::vector<uint8_t> bytes(16 * info.block_bytes);
      for (size_t r = 0; r < 16; ++r)
        gm::pack_block(info.format)(parts[r], bytes.data() + r * info.block_bytes);
      hash = hash_of(bytes, hash);
    }
    check_bits("fit", *level, hash);
  }
}

GM_TEST(rope_and_logits_have_the_recorded_bits) {
  constexpr size_t heads = 3, D = 64, n_rot = 48;
  const std::vector<float> table = values(4 * n_rot, 13), x = values(heads * D, 17);
  const std::vector<float> logits = values(1000, 19);
  const int32_t position = 3;
  for (const KernelTable* level : levels()) {
    uint64_t hash = 0;
    for (const bool neox : {false, true}) {
      std::vector<float> y = x;
      level->rope({y.data(), heads * D, heads, D, n_rot, table.data(), &position, neox}, 0, 1);
      hash = hash_of(y, hash);
    }
    check_bits("rope", *level, hash);
    std::vector<float> y = x, capped = logits;
    level->rope({y.data(), heads * D, heads, D, n_rot, table.data(), &position, true, x.data()}, 0,
                1);
    check_bits("rope scaled", *level, hash_of(y));
    level->soft_cap(capped.data(), capped.size(), 0.3f);
    check_bits("soft cap", *level, hash_of(capped));
    std::vector<float> best(8), sum(8);
    level->logit_blocks(logits.data(), logits.size(), best.data(), sum.data());
    const std::vector<double> mass = {
        level->logit_mass(best.data(), sum.data(), 8, *std::max_element(best.begin(), best.end()))};
    check_bits("logits", *level, hash_of(mass, hash_of(sum, hash_of(best))));
  }
}
