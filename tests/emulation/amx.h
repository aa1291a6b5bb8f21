// SPDX-License-Identifier: MIT
// The tile registers of AMX-INT8, per thread. What faults on a CPU (no configuration, shapes that
// do not fit) traps here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace emulated {

struct TileUnit {
  bool configured = false;
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
  uint8_t data[8][16][64] = {};
};

inline TileUnit& tiles() {
  static thread_local TileUnit unit;
  return unit;
}

inline TileUnit& configured_tiles() {
  if (!tiles().configured) __builtin_trap();
  return tiles();
}

}  // namespace emulated

inline void _tile_loadconfig(const void* config) {
  emulated::TileUnit unit;
  unit.configured = true;
  std::memcpy(unit.row_bytes, static_cast<const char*>(config) + 16, sizeof(unit.row_bytes));
  std::memcpy(unit.rows, static_cast<const char*>(config) + 48, sizeof(unit.rows));
  emulated::tiles() = unit;
}
inline void _tile_release() { emulated::tiles().configured = false; }

inline void _tile_zero(int tile) {
  emulated::TileUnit& unit = emulated::configured_tiles();
  std::memset(unit.data[tile], 0, sizeof(unit.data[tile]));
}
inline void _tile_loadd(int tile, const void* from, size_t stride) {
  _tile_zero(tile);
  emulated::TileUnit& unit = emulated::tiles();
  for (size_t r = 0; r < unit.rows[tile]; ++r)
    std::memcpy(unit.data[tile][r], static_cast<const char*>(from) + r * stride,
                unit.row_bytes[tile]);
}
inline void _tile_stored(int tile, void* to, size_t stride) {
  const emulated::TileUnit& unit = emulated::configured_tiles();
  for (size_t r = 0; r < unit.rows[tile]; ++r)
    std::memcpy(static_cast<char*>(to) + r * stride, unit.data[tile][r], unit.row_bytes[tile]);
}

// acc[m][n] += sum over k, q of a[m][4 k + q] * b[k][4 n + q], all int8.
inline void _tile_dpbssd(int acc, int a, int b) {
  emulated::TileUnit& unit = emulated::configured_tiles();
  const int depth = unit.row_bytes[a] / 4, columns = unit.row_bytes[acc] / 4;
  const bool fits = depth == unit.rows[b] && unit.rows[acc] == unit.rows[a] &&
                    unit.row_bytes[acc] == unit.row_bytes[b];
  if (!fits) __builtin_trap();
  for (int m = 0; m < unit.rows[acc]; ++m) {
    uint32_t sums[16];
    std::memcpy(sums, unit.data[acc][m], sizeof(sums));
    for (int k = 0; k < depth; ++k)
      for (int i = 0; i < 4 * columns; ++i)
        sums[i / 4] += static_cast<uint32_t>(static_cast<int8_t>(unit.data[a][m][4 * k + i % 4]) *
                                             static_cast<int8_t>(unit.data[b][k][i]));
    std::memcpy(unit.data[acc][m], sums, sizeof(sums));
  }
}
