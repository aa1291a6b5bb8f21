// SPDX-License-Identifier: MIT
// One row per ISA level, slowest first: its table and what it needs of the CPU.
#include "kernels/dispatch.h"

#include <cstdlib>

#include "base/error.h"

namespace gm {

#define GM_LEVEL(isa)              \
  namespace isa {                  \
  extern const KernelTable kTable; \
  }
GM_LEVEL(scalar)
#if defined(__x86_64__) || defined(_M_X64)
GM_LEVEL(avx2)
GM_LEVEL(avx2_vnni)
GM_LEVEL(avx512)
GM_LEVEL(avx512_vnni)
#ifdef GM_WITH_AMX
GM_LEVEL(amx_int8)
#endif
#endif
#undef GM_LEVEL

namespace {

struct Level {
  const KernelTable* table;
  bool (*runs_on)(const CpuFeatures&);
};

bool has_avx2(const CpuFeatures& cpu) { return cpu.avx2 && cpu.fma && cpu.f16c; }

bool has_avx512(const CpuFeatures& cpu) {
  return has_avx2(cpu) && cpu.avx512f && cpu.avx512bw && cpu.avx512dq && cpu.avx512vl;
}

constexpr Level kLevels[] = {
    {&scalar::kTable, [](const CpuFeatures&) { return true; }},
#if defined(__x86_64__) || defined(_M_X64)
    // Haswell, Zen and later.
    {&avx2::kTable, has_avx2},
    // Alder Lake and later laptops, Sierra Forest.
    {&avx2_vnni::kTable, [](const CpuFeatures& cpu) { return has_avx2(cpu) && cpu.avx_vnni; }},
    // Skylake-X.
    {&avx512::kTable, has_avx512},
    // Cascade Lake, Ice Lake, Zen 4 and later.
    {&avx512_vnni::kTable,
     [](const CpuFeatures& cpu) { return has_avx512(cpu) && cpu.avx512_vnni; }},
#ifdef GM_WITH_AMX
    // Sapphire Rapids and later servers.
    {&amx_int8::kTable,
     [](const CpuFeatures& cpu) { return has_avx512(cpu) && cpu.avx512_vnni && cpu.amx_int8; }},
#endif
#endif
};

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
