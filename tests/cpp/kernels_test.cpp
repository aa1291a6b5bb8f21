// SPDX-License-Identifier: MIT
// The matrix: every kernel of every ISA level that this CPU runs gives the bits of the scalar
// level, on random and on adversarial input; and the scalar level is right, against double
// precision.
#include "kernels/kernel_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "check.h"
#include "formats/activation.h"
#include "levels.h"
#include "panels/panel.h"

namespace {

using gm::ActKind;
using gm::Format;
using gm::KernelTable;
using gm::test::activations;
using gm::test::Aligned;
using gm::test::Input;
using gm::test::kInputs;
using gm::test::levels;
using gm::test::same_bits;

// Where a block of the format has its f16 scales.
std::vector<size_t> scale_offsets(Format format) {
  switch (format) {
    case Format::MXFP4:
    case Format::NVFP4:  // any byte is a scale
    case Format::IQ1_M:  // in four pieces
      return {};
    case Format::Q2_K:
      return {80, 82};
    case Format::Q3_K:
      return {108};
    case Format::Q6_K:
      return {208};
    case Format::TQ1_0:
      return {52};
    case Format::TQ2_0:
      return {64};
    case Format::Q4_1:
    case Format::Q5_1:
    case Format::Q4_K:
    case Format::Q5_K:
      return {0, 2};
    default:
      return {0};
  }
}

uint16_t f16_scale(Input input, std::mt19937& rng) {
  uint16_t d = static_cast<uint16_t>(0x2000 + rng() % 0x400);
  if (input == Input::Zero) d = 0;
  if (input == Input::Largest) d = 0x7bff;  // 65504
  if (input == Input::Denormal) d = static_cast<uint16_t>(1 + rng() % 3);
  if (input == Input::Mixed && rng() % 2 == 0) d |= 0x8000;
  return d;
}

// An E8M0 scale: 0 and 1 are denormal; the products of 190 stay finite.
uint8_t e8m0_scale(Input input, std::mt19937& rng) {
  if (input == Input::Zero) return 0;
  if (input == Input::Largest) return 190;
  if (input == Input::Denormal) return static_cast<uint8_t>(rng() % 4);
  if (input == Input::Mixed && rng() % 2 == 0) return static_cast<uint8_t>(rng() % 4);
  return static_cast<uint8_t>(118 + rng() % 12);
}

// IQ1_M has 4 bits of its f16 on top of each of four 16-bit words.
void put_iq1_m_scale(uint8_t* block, uint16_t d) {
  for (size_t i = 0; i < 4; ++i) {
    uint8_t& byte = block[49 + 2 * i];
    byte = static_cast<uint8_t>((byte & 15) | ((d >> 4 * i) & 15) << 4);
  }
}

// Blocks whose codes and sub-block scales are random, or, block by block, all ones or all zeros
// (the ends of every table and scale); scales finite, of the kind that `input` asks for.
std::vector<uint8_t> weight_rows(Format format, size_t rows, size_t K, Input input,
                                 std::mt19937& rng) {
  const gm::TypeInfo info = gm::type_info(format);
  const size_t blocks = rows * (K / info.block_values);
  std::vector<uint8_t> bytes(blocks * info.block_bytes);
  if (info.block_values == 1) {
    std::vector<float> x = activations(input, rows * K, rng);
    gm::encode_row(format)(x.data(), bytes.data(), x.size());
    return bytes;
  }
  const bool ends = input == Input::Largest || input == Input::OneSign;
  for (size_t b = 0; b < blocks; ++b) {
    uint8_t* block = bytes.data() + b * info.block_bytes;
    const uint8_t end = rng() % 2 == 0 ? 0xff : 0;
    for (size_t i = 0; i < info.block_bytes; ++i)
      block[i] = ends ? end : static_cast<uint8_t>(rng());
    for (const size_t at : scale_offsets(format)) {
      const uint16_t d = f16_scale(input, rng);
      std::memcpy(block + at, &d, 2);
    }
    if (format == Format::MXFP4) block[0] = e8m0_scale(input, rng);
    if (format == Format::IQ1_M) put_iq1_m_scale(block, f16_scale(input, rng));
  }
  return bytes;
}

struct Problem {
  Format format;
  size_t rows, K;
  std::vector<uint8_t> weights, panels;
  std::vector<float> x;

  Problem(Format f, size_t r, size_t k, size_t T, Input input, uint32_t seed)
      : format(f), rows(r), K(k), panels(gm::packed_bytes(f, r, k)) {
    std::mt19937 rng(seed);
    weights = weight_rows(f, r, k, input, rng);
    x = activations(input, T * k, rng);
    gm::pack_panels(f, weights.data(), r, k, panels.data(), 0, panel_count());
  }
  size_t panel_count() const { return (rows + gm::kPanelRows - 1) / gm::kPanelRows; }

  std::vector<uint32_t> quantize(const KernelTable& kernels, size_t T) const {
    const ActKind kind = gm::type_info(format).act;
    std::vector<uint32_t> act(gm::act_dwords(kind, K) * T);
    gm::QuantizeArgs args{x.data(), K, T, K, {}};
    args.act[static_cast<size_t>(kind)] = act.data();
    kernels.quantize(args, 0, T);  // at most T tiles
    return act;
  }
  // [T, rows], starting from `start` when accumulating.
  std::vector<float> run(const KernelTable& kernels, size_t T, bool accumulate = false,
                         float scale = 1.0f, const float* bias = nullptr) const {
    const std::vector<uint32_t> act = quantize(kernels, T);
    const size_t stride = rows + 3;
    std::vector<float> out(T * stride, 0.5f);
    Aligned scratch(kernels.linear_scratch_bytes(T));
    const gm::LinearArgs args{panels.data(), rows,   K,          act.data(),     T,
                              out.data(),    stride, accumulate, scratch.data(), scale,
                              bias};
    for (size_t p = 0; p < panel_count(); p += 2)  // two that share activations, and one alone
      kernels.linear[static_cast<size_t>(format)](args, p, std::min(p + 2, panel_count()));
    return out;
  }
};

size_t some_K(Format format, size_t steps) {
  const size_t block = gm::type_info(format).block_values;
  return block == 1 ? 37 * steps : block < 256 ? block * (256 / block * steps + 1) : 256 * steps;
}

}  // namespace

GM_TEST(linear_is_the_same_on_every_level) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    for (const Input input : kInputs) {
      const Format format = static_cast<Format>(f);
      const Problem problem(format, 37, some_K(format, 2), 53, input, static_cast<uint32_t>(f));
      for (const size_t T : {1u, 2u, 3u, 4u, 5u, 8u, 13u, 31u, 53u}) {
        const std::vector<float> expected = problem.run(*levels()[0], T, T % 2 == 1);
        for (const KernelTable* level : levels()) {
          if (same_bits(problem.run(*level, T, T % 2 == 1), expected)) continue;
          gm::test::fail(__FILE__, __LINE__,
                         std::string(gm::type_info(format).name) + " differs on " + level->name);
        }
      }
    }
  }
}

GM_TEST(a_token_does_not_depend_on_its_batch) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const Format format = static_cast<Format>(f);
    const Problem problem(format, 20, some_K(format, 1), 17, Input::Random, 5);
    for (const KernelTable* level : levels()) {
      const std::vector<float> all = problem.run(*level, 17);
      const std::vector<float> first = problem.run(*level, 1);
      CHECK(std::equal(first.begin(), first.begin() + 20, all.begin()));
    }
  }
}

// The INT8 activations cost about 1 part in 250 of each product, at random signs; the sum of the
// magnitudes bounds it. F32, F16 and BF16 keep f32 activations.
GM_TEST(linear_is_right) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const Format format = static_cast<Format>(f);
    const gm::TypeInfo info = gm::type_info(format);
    const Problem problem(format, 21, some_K(format, 3), 2, Input::Random, 11);
    const std::vector<float> out = problem.run(*levels()[0], 2);
    const double tolerance = info.block_values == 1 ? 1e-6 : 1.0 / 250;
    std::vector<float> row(problem.K);
    for (size_t r = 0; r < problem.rows; ++r) {
      const size_t row_bytes = problem.K / info.block_values * info.block_bytes;
      gm::decode_row(format)(problem.weights.data() + r * row_bytes, row.data(), problem.K);
      for (size_t t = 0; t < 2; ++t) {
        double sum = 0.0, magnitude = 0.0;
        for (size_t k = 0; k < problem.K; ++k) {
          const double product = double{row[k]} * double{problem.x[t * problem.K + k]};
          sum += product;
          magnitude += std::fabs(product);
        }
        const double got = double{out[t * (problem.rows + 3) + r]};
        CHECK(std::fabs(got - sum) <= tolerance * magnitude);
      }
    }
  }
}

// One activation at a time: each product is a weight as it decodes, but for the rounding of d *
// int.
GM_TEST(every_weight_is_in_its_place) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const Format format = static_cast<Format>(f);
    const gm::TypeInfo info = gm::type_info(format);
    const size_t K = info.block_values == 1 ? 64 : 256;
    Problem problem(format, 19, K, K, Input::Random, 17);
    for (size_t i = 0; i < K * K; ++i) problem.x[i] = i % (K + 1) == 0 ? 127.0f : 0.0f;
    const std::vector<float> out = problem.run(*levels()[0], K);
    std::vector<float> row(K);
    for (size_t r = 0; r < problem.rows; ++r) {
      const size_t row_bytes = K / info.block_values * info.block_bytes;
      gm::decode_row(format)(problem.weights.data() + r * row_bytes, row.data(), K);
      float largest = 0.0f;
      for (const float w : row) largest = std::max(largest, std::fabs(w));
      for (size_t k = 0; k < K; ++k)
        CHECK(std::fabs(out[k * (problem.rows + 3) + r] - 127.0f * row[k]) <= 127e-6f * largest);
    }
  }
}

GM_TEST(bias_and_scale_come_after_the_sum) {
  const Problem problem(Format::Q8_0, 37, 96, 17, Input::Random, 29);
  std::vector<float> bias(37);
  for (size_t r = 0; r < bias.size(); ++r) bias[r] = static_cast<float>(r) - 7.5f;
  for (const KernelTable* level : levels()) {
    for (const size_t T : {1u, 3u, 17u}) {
      const std::vector<float> plain = problem.run(*level, T);
      const std::vector<float> both = problem.run(*level, T, true, 0.3f, bias.data());
      for (size_t t = 0; t < T; ++t)
        for (size_t r = 0; r < 37; ++r)
          CHECK_EQ(both[t * 40 + r], 0.5f + (plain[t * 40 + r] + bias[r]) * 0.3f);
    }
  }
}

GM_TEST(rows_beyond_the_matrix_are_not_written) {
  for (const KernelTable* level : levels()) {
    const Problem problem(Format::Q8_0, 17, 256, 13, Input::Random, 3);
    const std::vector<float> out = problem.run(*level, 13);
    for (size_t t = 0; t < 13; ++t)
      for (size_t i = 17; i < 20; ++i) CHECK_EQ(out[t * 20 + i], 0.5f);
  }
}

GM_TEST(quantized_values_are_nearest) {
  std::mt19937 rng(9);
  for (const Input input : kInputs) {
    const Problem problem(Format::Q8_0, 16, 256, 1, input, 13);
    for (const KernelTable* level : levels()) {
      const std::vector<uint32_t> act = problem.quantize(*level, 1);
      for (size_t b = 0; b < 8; ++b) {
        const uint32_t* block = act.data() + b * gm::kAct32Dwords;
        float d;
        std::memcpy(&d, block + 9, 4);
        int sum = 0;
        for (size_t i = 0; i < 32; ++i) {
          const int q = static_cast<int8_t>(block[i / 4] >> (8 * (i % 4)));
          sum += q;
          const float x = problem.x[b * 32 + i];
          if (d != 0.0f)
            CHECK(std::fabs(double{x} - double{d} * q) <= double{d} * 0.5001);
          else
            CHECK(std::fabs(x) <= 1e-30f);
        }
        CHECK_EQ(static_cast<int32_t>(block[8]), -128 * sum);
        float scaled_sum;
        std::memcpy(&scaled_sum, block + 10, 4);
        CHECK_EQ(scaled_sum, d * static_cast<float>(sum));
      }
    }
  }
}

GM_TEST(burn_and_stream_do_their_work) {
  for (const KernelTable* level : levels()) {
    uint32_t sink = 0;
    CHECK(level->int8_burn(10, &sink) >= 640);
    CHECK(level->float_burn(10, &sink) >= 160);
    CHECK(sink != 0);
    std::vector<uint8_t> data(1024, 0);
    const uint32_t before = level->read_stream(data.data(), data.size());
    data[777] = 1;
    CHECK(level->read_stream(data.data(), data.size()) != before);
  }
}
