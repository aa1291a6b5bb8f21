// SPDX-License-Identifier: MIT
// Packing is a permutation: unpacking gives the GGUF rows back, bit for bit, for every format but
// those that are recoded (kernels_test looks at every weight of these), row counts around the panel
// height, and any cut of the work into panels.
#include "panels/panel.h"

#include <algorithm>
#include <random>

#include "check.h"

namespace {

struct Matrix {
  gm::Format format;
  size_t rows, K;
  std::vector<uint8_t> bytes;

  Matrix(gm::Format f, size_t r, size_t k, uint32_t seed) : format(f), rows(r), K(k) {
    const auto info = gm::type_info(f);
    std::mt19937 rng(seed);
    bytes.resize(r * (k / info.block_values) * info.block_bytes);
    for (auto& byte : bytes) byte = static_cast<uint8_t>(rng());
  }
  size_t panels() const { return (rows + gm::kPanelRows - 1) / gm::kPanelRows; }
  std::vector<uint8_t> pack(size_t step) const {
    std::vector<uint8_t> packed(gm::packed_bytes(format, rows, K), 0xa5);
    for (size_t p = 0; p < panels(); p += step)
      gm::pack_panels(format, bytes.data(), rows, K, packed.data(), p,
                      std::min(p + step, panels()));
    return packed;
  }
};

}  // namespace

GM_TEST(pack_and_unpack) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    for (const size_t rows : {1u, 15u, 16u, 17u, 33u, 48u}) {
      for (const size_t K : {256u, 768u}) {
        const Matrix m(static_cast<gm::Format>(f), rows, K, static_cast<uint32_t>(rows + K));
        const auto packed = m.pack(m.panels());
        CHECK(packed == m.pack(1));
        CHECK(packed == m.pack(2));
        if (!gm::is_permuted(m.format)) continue;
        std::vector<uint8_t> back(m.bytes.size() + 64, 0x5a);
        gm::unpack_panels(m.format, packed.data(), rows, K, back.data(), 0, m.panels());
        CHECK(std::equal(m.bytes.begin(), m.bytes.end(), back.begin()));
        // Not one byte behind the last row.
        CHECK(std::all_of(back.end() - 64, back.end(), [](uint8_t b) { return b == 0x5a; }));
      }
    }
  }
}

GM_TEST(panels_take_the_bytes_of_their_rows) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const auto info = gm::type_info(static_cast<gm::Format>(f));
    const size_t row = 512 / info.block_values * info.block_bytes;
    if (!gm::is_permuted(info.format)) continue;
    CHECK_EQ(gm::panel_bytes(info.format, 512), gm::kPanelRows * row);
    CHECK_EQ(gm::packed_bytes(info.format, 17, 512), 2 * gm::kPanelRows * row);
  }
}

// Bytes of 256 values, as panels/recode.h and docs/performance.md state them.
GM_TEST(recoded_panels_take_few_more_bytes) {
  const std::pair<gm::Format, size_t> expected[] = {
      {gm::Format::IQ1_S, 72},    {gm::Format::TQ1_0, 72},    {gm::Format::TQ2_0, 72},
      {gm::Format::IQ1_M, 108},   {gm::Format::IQ2_XXS, 108}, {gm::Format::IQ2_XS, 108},
      {gm::Format::IQ2_S, 108},   {gm::Format::IQ3_XXS, 136}, {gm::Format::IQ3_S, 136},
      {gm::Format::NVFP4, 4 * 36}};
  for (const auto& [format, bytes] : expected) {
    CHECK(!gm::is_permuted(format));
    CHECK_EQ(gm::panel_bytes(format, 512), 2 * gm::kPanelRows * bytes);
  }
}

GM_TEST(padding_rows_are_zero) {
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const auto format = static_cast<gm::Format>(f);
    const Matrix whole(format, 16, 256, 5);
    Matrix part = whole;
    part.rows = 3;
    auto zeroed = whole;
    const size_t row = whole.bytes.size() / 16;
    std::fill(zeroed.bytes.begin() + static_cast<std::ptrdiff_t>(3 * row), zeroed.bytes.end(), 0);
    part.bytes.resize(3 * row);
    CHECK(part.pack(1) == zeroed.pack(1));
  }
}
