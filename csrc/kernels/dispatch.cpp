// SPDX-License-Identifier: MIT
// One row per ISA level, slowest first: its table and what it needs of the CPU.
#include "kernels/dispatch.h"

#include <cstdlib>

#include "base/error.h"
#include "isa_levels.h"

namespace gm {

#define GM_LEVEL(isa)              \
  namespace isa {                  \
  extern const KernelTable kTable; \
  }
GM_ISA_LEVELS(GM_LEVEL)
#undef GM_LEVEL

// What each level asks of the CPU; a build may have fewer of them.
namespace runs_on {

inline bool scalar(const CpuFeatures&) { return true; }

// Haswell, Zen and later.
inline bool avx2(const CpuFeatures& cpu) { return cpu.avx2 && cpu.fma && cpu.f16c; }

// Alder Lake and later laptops, Sierra Forest.
inline bool avx2_vnni(const CpuFeatures& cpu) { return avx2(cpu) && cpu.avx_vnni; }

// Skylake-X.
inline bool avx512(const CpuFeatures& cpu) {
  return avx2(cpu) && cpu.avx512f && cpu.avx512bw && cpu.avx512dq && cpu.avx512vl;
}

// Cascade Lake, Ice Lake, Zen 4 and later.
inline bool avx512_vnni(const CpuFeatures& cpu) { return avx512(cpu) && cpu.avx512_vnni; }

// Sapphire Rapids and later servers.
inline bool amx_int8(const CpuFeatures& cpu) { return avx512_vnni(cpu) && cpu.amx_int8; }

// Every 64-bit ARM CPU.
inline bool neon(const CpuFeatures& cpu) { return cpu.neon; }

// Cortex-A55, A75 and later, Apple M1.
inline bool neon_dot(const CpuFeatures& cpu) { return neon(cpu) && cpu.dotprod; }

// Cortex-A510, Neoverse V1, Apple M2 and later.
inline bool neon_i8mm(const CpuFeatures& cpu) { return neon_dot(cpu) && cpu.i8mm; }

}  // namespace runs_on

namespace {

struct Level {
  const KernelTable* table;
  bool (*runs_on)(const CpuFeatures&);
};

#define GM_LEVEL(isa) {&isa::kTable, runs_on::isa},
constexpr Level kLevels[] = {GM_ISA_LEVELS(GM_LEVEL)};
#undef GM_LEVEL

std::string join(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

}  // namespace

std::vector<std::string> available_isas(const CpuFeatures& cpu) {
  std::vector<std::string> names;
  for (const Level& level : kLevels)
    if (level.runs_on(cpu)) names.emplace_back(level.table->name);
  return names;
}

const KernelTable& kernels_for(std::string_view isa, const CpuFeatures& cpu) {
  for (const Level& level : kLevels) {
    if (level.table->name != isa) continue;
    if (level.runs_on(cpu)) return *level.table;
    throw UnsupportedError("[kernels] this CPU cannot run ISA level " + std::string(isa) +
                           ". Available: " + join(available_isas(cpu)) + ".");
  }
  throw UnsupportedError("[kernels] there is no ISA level \"" + std::string(isa) +
                         "\" in this build. Available: " + join(available_isas(cpu)) + ".");
}

const KernelTable& default_kernels(const CpuFeatures& cpu) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): read once per model, nobody writes the environment
  const char* forced = std::getenv("GRISTMILL_ISA");
  if (forced != nullptr && *forced != '\0') return kernels_for(forced, cpu);
  return kernels_for(available_isas(cpu).back(), cpu);
}

}  // namespace gm
