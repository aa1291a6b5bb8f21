// SPDX-License-Identifier: MIT
// The type table and the row conversions of every format: geometry, names, error of encode and
// decode, and that no bit pattern or odd float is undefined behaviour (the sanitizers watch).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "check.h"
#include "formats/format.h"

namespace {

using gm::Format;

constexpr const char* kFormatNames[] = {
#define GM_FORMAT(Name, id, values, bytes, Act) #Name,
#include "formats/formats.def"
};

// Largest error of encode and decode, as a part of the row's largest magnitude.
double error_budget(Format format) {
  switch (format) {
    case Format::F32:
      return 0.0;
    case Format::F16:
      return 1.0 / 2048;
    case Format::BF16:
      return 1.0 / 256;
    case Format::Q8_0:
      return 0.6 / 127;
    case Format::Q6_K:
      return 1.2 / 32;
    case Format::Q5_0:
    case Format::Q5_1:
    case Format::Q5_K:
      return 1.2 / 16;
    case Format::MXFP4:
    case Format::NVFP4:
      return 1.2 / 6;
    case Format::Q3_K:
      return 1.2 / 4;
    case Format::Q2_K:
      return 1.2 / 3;
    case Format::Q2_0:
    case Format::TQ1_0:
    case Format::TQ2_0:
      return 0.51;
    case Format::Q1_0:
      return 1.0;
    default:
      return 1.2 / 8;
  }
}

// The formats that can be written.
std::vector<Format> encoded_formats() {
  std::vector<Format> formats;
  for (size_t f = 0; f < gm::kFormatCount; ++f)
    if (gm::encode_row(static_cast<Format>(f)) != nullptr)
      formats.push_back(static_cast<Format>(f));
  return formats;
}

std::vector<uint8_t> random_bytes(size_t count, uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<uint8_t> bytes(count);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(rng());
  return bytes;
}

}  // namespace

GM_TEST(types_by_id_and_name) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const auto info = gm::type_info(static_cast<Format>(f));
    CHECK_EQ(info.name, kFormatNames[f]);
    CHECK(info.status == gm::TypeStatus::Supported);
    CHECK(gm::type_info(info.id).format == info.format);
    std::string lower(info.name);
    for (auto& c : lower) c = static_cast<char>(std::tolower(c));
    CHECK_EQ(gm::type_info(std::string_view(lower)).id, info.id);
  }
  CHECK(gm::type_info(4u).status == gm::TypeStatus::Removed);
  CHECK(gm::type_info(10u).status != gm::TypeStatus::Removed);
  CHECK(gm::type_info(31u).status == gm::TypeStatus::Removed);
  for (const uint32_t id : {43u, 1000u, 0x7fffffffu, 0xffffffffu})
    CHECK(gm::type_info(id).status == gm::TypeStatus::Unknown);
  for (const char* name : {"", "Q4", "Q4_K_M", "Q4_K "})
    CHECK(gm::type_info(std::string_view(name)).status == gm::TypeStatus::Unknown);
}

GM_TEST(encode_decode_error) {
  std::mt19937 rng(7);
  std::normal_distribution<float> normal(0.0f, 0.5f);
  for (const Format format : encoded_formats()) {
    const auto info = gm::type_info(format);
    constexpr size_t kValues = 1024;
    std::vector<float> in(kValues), out(kValues);
    for (auto& x : in) x = normal(rng);
    std::vector<uint8_t> blocks(kValues / info.block_values * info.block_bytes);
    gm::encode_row(format)(in.data(), blocks.data(), kValues);
    gm::decode_row(format)(blocks.data(), out.data(), kValues);
    float largest = 0.0f, error = 0.0f;
    for (size_t i = 0; i < kValues; ++i) {
      largest = std::max(largest, std::fabs(in[i]));
      error = std::max(error, std::fabs(in[i] - out[i]));
    }
    if (!(error <= error_budget(format) * largest))
      gm::test::fail(__FILE__, __LINE__, std::string(info.name) + ": " + std::to_string(error));
    CHECK(format == Format::F32 || error > 0.0f);
  }
}

GM_TEST(zeros_stay_zero) {
  for (const Format format : encoded_formats()) {
    const auto info = gm::type_info(format);
    const std::vector<float> in(256, 0.0f);
    std::vector<float> out(256, 1.0f);
    std::vector<uint8_t> blocks(256 / info.block_values * info.block_bytes, 0xff);
    gm::encode_row(format)(in.data(), blocks.data(), 256);
    gm::decode_row(format)(blocks.data(), out.data(), 256);
    for (const float x : out) CHECK_EQ(x, 0.0f);
  }
}

GM_TEST(any_bits_decode) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const auto format = static_cast<Format>(f);
    const auto info = gm::type_info(format);
    // One byte behind an aligned address: files promise no more.
    const auto bytes = random_bytes(64 * 256 / info.block_values * info.block_bytes + 1, 3);
    std::vector<float> out(64 * 256);
    gm::decode_row(format)(bytes.data() + 1, out.data(), out.size());
    CHECK(std::any_of(out.begin(), out.end(), [](float x) { return x != 0.0f; }));
  }
}

GM_TEST(grid_formats_are_read_only) {
  CHECK_EQ(encoded_formats().size(), gm::kFormatCount - 7);
  for (size_t f = 0; f < gm::kFormatCount; ++f)
    if (gm::encode_row(static_cast<Format>(f)) == nullptr)
      CHECK(std::string(kFormatNames[f]).starts_with("IQ"));
}

// Exact powers of two from the least to the largest exponent; 2^-128 and 2^-127 are denormal.
GM_TEST(mxfp4_scales_are_exact) {
  uint8_t block[17] = {0, 1};  // the first value has code 1: the scale itself
  for (int e = 0; e < 256; ++e) {
    block[0] = static_cast<uint8_t>(e);
    float out[32];
    gm::decode_row(Format::MXFP4)(block, out, 32);
    CHECK_EQ(out[0], static_cast<float>(std::ldexp(1.0, e - 128)));
  }
}

GM_TEST(odd_floats_encode) {
  const float inf = std::numeric_limits<float>::infinity();
  const float odd[] = {inf,   -inf,   std::nanf(""), 0.0f, -0.0f, 1e-45f,  -1e-40f,
                       3e38f, -3e38f, 1e30f,         1.0f, -1.0f, 65504.0f};
  for (const Format format : encoded_formats()) {
    const auto info = gm::type_info(format);
    for (const float x : odd) {
      std::vector<float> in(256, 0.25f), out(256);
      in[17] = x;
      in[200] = -x;
      std::vector<uint8_t> blocks(256 / info.block_values * info.block_bytes);
      gm::encode_row(format)(in.data(), blocks.data(), 256);
      gm::decode_row(format)(blocks.data(), out.data(), 256);
    }
  }
}
