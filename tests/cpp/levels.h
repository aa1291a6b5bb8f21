// SPDX-License-Identifier: MIT
// What the kernel tests share: the ISA levels of this CPU, bitwise comparison, and input that is
// random or adversarial.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

namespace gm::test {

// Set where an emulator runs the tests, tens of times slower: they take the reference and the best
// level, and fewer cuts. Emulate a CPU of each level then (.ci/run arm).
inline bool emulated() {
  const char* value = std::getenv("GM_TEST_EMULATED");
  return value != nullptr && *value != '\0';
}

// Slowest first: the scalar level is the reference.
inline std::vector<const KernelTable*> levels() {
  std::vector<const KernelTable*> all;
  for (const std::string& name : gm::available_isas()) all.push_back(&gm::kernels_for(name));
  if (emulated() && all.size() > 2) all.erase(all.begin() + 1, all.end() - 1);
  return all;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return false;
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Memory aligned to 64 bytes, filled with a pattern that is NaN as a float.
struct Aligned {
  std::vector<uint8_t> bytes;
  explicit Aligned(size_t n) : bytes(n + 64, 0xff) {}
  uint8_t* data() {
    return bytes.data() + (64 - reinterpret_cast<uintptr_t>(bytes.data()) % 64) % 64;
  }
};

enum class Input { Random, Zero, Largest, OneSign, Denormal, OneSpike, Mixed };
constexpr Input kInputs[] = {Input::Random,   Input::Zero,     Input::Largest, Input::OneSign,
                             Input::Denormal, Input::OneSpike, Input::Mixed};

inline std::vector<float> activations(Input input, size_t n, std::mt19937& rng) {
  std::uniform_real_distribution<float> uniform(-3.0f, 3.0f);
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) {
    const bool even = i % 2 == 0;
    switch (input) {
      case Input::Random:
        x[i] = uniform(rng);
        break;
      case Input::Zero:
        x[i] = even ? 0.0f : -0.0f;
        break;
      case Input::Largest:  // every quantized activation is +-127
        x[i] = rng() % 2 == 0 ? 1e4f : -1e4f;
        break;
      case Input::OneSign:  // 256 times 127, then 256 times -127: the largest sums
        x[i] = i / 256 % 2 == 0 ? 1e4f : -1e4f;
        break;
      case Input::Denormal:
        x[i] = uniform(rng) * 1e-41f;
        break;
      case Input::OneSpike:
        x[i] = i % 97 == 3 ? 1e6f : uniform(rng) * 1e-3f;
        break;
      case Input::Mixed:  // blocks of very different scale
        x[i] = uniform(rng) * std::pow(10.0f, static_cast<float>(i / 32 % 9) - 4.0f);
        break;
    }
  }
  return x;
}

}  // namespace gm::test
