// SPDX-License-Identifier: MIT
// Panels: weights permuted once, 16 rows side by side, so that a SIMD lane is a row and a matrix is
// one linear stream. A panel takes exactly as many bytes as its 16 GGUF rows, but for the formats
// of recode.h; rows beyond the matrix are zero blocks. The layouts are the field tables of
// panel.cpp; each kernels/unpack file says what its format's block looks like.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/format.h"
#include "kernels/kernel_table.h"

namespace gm {

// Bytes of one panel (16 rows of K values), a multiple of 16.
size_t panel_bytes(Format format, size_t K) noexcept;
// Bytes of the panels of a [rows, K] matrix.
size_t packed_bytes(Format format, size_t rows, size_t K) noexcept;
// Packs panels [p0, p1) of a row-major GGUF matrix. out points at panel 0.
void pack_panels(Format format, const uint8_t* rows_data, size_t rows, size_t K, uint8_t* out,
                 size_t p0, size_t p1) noexcept;
// Whether a panel holds the bits of its rows, so that they can be unpacked.
bool is_permuted(Format format) noexcept;
// The inverse of pack_panels, where is_permuted: rows [16 p0, 16 p1) again in GGUF order, bit for
// bit.
void unpack_panels(Format format, const uint8_t* panels, size_t rows, size_t K, uint8_t* rows_data,
                   size_t p0, size_t p1) noexcept;

// A number that changes when the layout of a format's panels does: the hash of a packed pattern, so
// nobody has to remember to raise a version.
uint64_t layout_fingerprint(Format format);

}  // namespace gm
