// SPDX-License-Identifier: MIT
// Chooses the kernel table once: the best level that the CPU and GRISTMILL_ISA allow.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/kernel_table.h"

namespace gm {

// The best level, or the one that GRISTMILL_ISA names. Throws UnsupportedError when GRISTMILL_ISA
// names a level that does not exist or that the CPU lacks.
const KernelTable& default_kernels(const CpuFeatures& cpu = cpu_features());
// The table of a level by name; throws as above.
const KernelTable& kernels_for(std::string_view isa, const CpuFeatures& cpu = cpu_features());
// Levels that the CPU can run, slowest first ("scalar" is always there).
std::vector<std::string> available_isas(const CpuFeatures& cpu = cpu_features());

}  // namespace gm
