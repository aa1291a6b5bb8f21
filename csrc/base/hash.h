// SPDX-License-Identifier: MIT
// XXH64, the published 64-bit hash: fast enough to read a header in no time, the same on every
// machine. It tells contents apart that differ by accident; nothing here trusts it against malice.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace gm {

// The hash of `bytes`; feeding the result of one call as the seed of the next chains them.
inline uint64_t hash64(std::span<const uint8_t> bytes, uint64_t seed = 0) noexcept {
  constexpr uint64_t kA = 0x9E3779B185EBCA87u, kB = 0xC2B2AE3D27D4EB4Fu, kC = 0x165667B19E3779F9u,
                     kD = 0x85EBCA77C2B2AE63u, kE = 0x27D4EB2F165667C5u;
  const auto word = [](const uint8_t* p) {
    uint64_t v;
    std::memcpy(&v, p, 8);
    return v;
  };
  const auto round = [](uint64_t acc, uint64_t v) { return std::rotl(acc + v * kB, 31) * kA; };
  const uint8_t* p = bytes.data();
  size_t left = bytes.size();
  uint64_t h = seed + kE;
  if (left >= 32) {
    uint64_t lane[4] = {seed + kA + kB, seed + kB, seed, seed - kA};
    for (; left >= 32; left -= 32) {
      for (uint64_t& acc : lane) {
        acc = round(acc, word(p));
        p += 8;
      }
    }
    h = std::rotl(lane[0], 1) + std::rotl(lane[1], 7) + std::rotl(lane[2], 12) +
        std::rotl(lane[3], 18);
    for (const uint64_t acc : lane) h = (h ^ round(0, acc)) * kA + kD;
  }
  h += bytes.size();
  for (; left >= 8; left -= 8, p += 8) h = std::rotl(h ^ round(0, word(p)), 27) * kA + kD;
  if (left >= 4) {
    uint32_t v;
    std::memcpy(&v, p, 4);
    h = std::rotl(h ^ v * kA, 23) * kB + kC;
    left -= 4, p += 4;
  }
  for (; left > 0; --left, ++p) h = std::rotl(h ^ *p * kE, 11) * kA;
  h = (h ^ h >> 33) * kB;
  h = (h ^ h >> 29) * kC;
  return h ^ h >> 32;
}

// The hash of a value without padding.
template <class T>
uint64_t hash64_of(const T& value, uint64_t seed = 0) noexcept {
  static_assert(std::has_unique_object_representations_v<T>);
  return hash64({reinterpret_cast<const uint8_t*>(&value), sizeof value}, seed);
}

}  // namespace gm
