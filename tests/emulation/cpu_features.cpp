// SPDX-License-Identifier: MIT
// In place of csrc/base/cpu_features.cpp (GM_EMULATE_X86): a CPU that has all of x86-64.
#include "base/cpu_features.h"

namespace gm {

const CpuFeatures& cpu_features() noexcept {
  static const CpuFeatures all = [] {
    CpuFeatures f;
    f.avx2 = f.fma = f.f16c = f.avx_vnni = true;
    f.avx512f = f.avx512bw = f.avx512dq = f.avx512vl = f.avx512_vnni = f.amx_int8 = true;
    return f;
  }();
  return all;
}

std::string cpu_name() { return "emulated x86-64"; }

}  // namespace gm
