// SPDX-License-Identifier: MIT
// What this CPU can execute: instruction set flags that both the CPU and the operating system
// (XCR0: saved registers; HWCAP) offer, and the CPU's name. Read once; dispatch and the doctor use
// it.
#pragma once

#include <string>

namespace gm {

struct CpuFeatures {
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx_vnni = false;
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512dq = false;
  bool avx512vl = false;
  bool avx512_vnni = false;
  bool amx_int8 = false;  // and the system lets this process use the tile registers
  bool neon = false;      // 64-bit ARM
  bool dotprod = false;
  bool i8mm = false;
};

// All false on CPUs other than x86-64 and 64-bit ARM.
const CpuFeatures& cpu_features() noexcept;
// "AMD EPYC 9654 96-Core Processor"; "unknown CPU" where nobody says.
std::string cpu_name();

}  // namespace gm
