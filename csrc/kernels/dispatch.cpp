// SPDX-License-Identifier: MIT
// One row per ISA level, slowest first: its table and what it needs of the CPU.
#include "kernels/dispatch.h"

#include <cstdlib>

#include "base/cpu_features.h"
#include "base/error.h"

namespace gm {

namespace scalar {
extern const KernelTable kTable;
}
#if defined(__x86_64__) || defined(_M_X64)
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512_vnni {
extern const KernelTable kTable;
}
#endif

namespace {

struct Level {
  const KernelTable* table;
  bool (*runs_on)(const CpuFeatures&);
};

constexpr Level kLevels[] = {
    {&scalar::kTable, [](const CpuFeatures&) { return true; }},
#if defined(__x86_64__) || defined(_M_X64)
    // Haswell, Zen and later.
    {&avx2::kTable, [](const CpuFeatures& cpu) { return cpu.avx2 && cpu.fma && cpu.f16c; }},
    // Ice Lake and Zen 4 and later.
    {&avx512_vnni::kTable,
     [](const CpuFeatures& cpu) {
       return cpu.avx2 && cpu.fma && cpu.f16c && cpu.avx512f && cpu.avx512bw && cpu.avx512dq &&
              cpu.avx512vl && cpu.avx512_vnni;
     }},
#endif
};

std::string join(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Level& level : kLevels)
    if (level.runs_on(cpu_features())) names.emplace_back(level.table->name);
  return names;
}

const KernelTable& kernels_for(std::string_view isa) {
  for (const Level& level : kLevels) {
    if (level.table->name != isa) continue;
    if (level.runs_on(cpu_features())) return *level.table;
    throw UnsupportedError("[kernels] this CPU cannot run ISA level " + std::string(isa) +
                           ". Available: " + join(available_isas()) + ".");
  }
  throw UnsupportedError("[kernels] there is no ISA level \"" + std::string(isa) +
                         "\" in this build. Available: " + join(available_isas()) + ".");
}

const KernelTable& default_kernels() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): read once per model, nobody writes the environment
  const char* forced = std::getenv("GRISTMILL_ISA");
  if (forced != nullptr && *forced != '\0') return kernels_for(forced);
  return kernels_for(available_isas().back());
}

}  // namespace gm
