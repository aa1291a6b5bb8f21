// SPDX-License-Identifier: MIT
// cpuid and xgetbv on x86-64; what the operating system says on 64-bit ARM; /proc/cpuinfo for the
// name elsewhere. A wide register counts only when the operating system saves it (XCR0), else the
// first instruction would fault.
#include "base/cpu_features.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>

#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define GM_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace gm {
namespace {

#ifdef GM_X86

struct Regs {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Regs cpuid(uint32_t leaf, uint32_t subleaf = 0) noexcept {
  Regs r;
#if defined(_MSC_VER)
  int out[4];
  __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
  r.eax = static_cast<uint32_t>(out[0]);
  r.ebx = static_cast<uint32_t>(out[1]);
  r.ecx = static_cast<uint32_t>(out[2]);
  r.edx = static_cast<uint32_t>(out[3]);
#else
  __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
#endif
  return r;
}

// Extended control register 0: which register states the operating system saves.
uint64_t xcr0() noexcept {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t lo = 0, hi = 0;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (static_cast<uint64_t>(hi) << 32) | lo;
#endif
}

constexpr bool bit(uint32_t word, unsigned index) noexcept { return ((word >> index) & 1u) != 0; }

// The tile registers are 8 KB of state per thread: Linux wants a process to ask for them first.
bool tiles_permitted() noexcept {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

CpuFeatures detect() noexcept {
  CpuFeatures f;
  const uint32_t max_leaf = cpuid(0).eax;
  if (max_leaf < 7) return f;
  const Regs one = cpuid(1);
  constexpr unsigned kOsxsave = 27, kAvx = 28;
  if (!bit(one.ecx, kOsxsave) || !bit(one.ecx, kAvx)) return f;
  constexpr uint64_t kYmmState = 0x06;  // SSE and AVX
  constexpr uint64_t kZmmState = 0xe6;  // and the opmask, upper ZMM and ZMM16-31 states
  const uint64_t saved = xcr0();
  if ((saved & kYmmState) != kYmmState) return f;
  const Regs seven = cpuid(7);
  f.fma = bit(one.ecx, 12);
  f.f16c = bit(one.ecx, 29);
  f.avx2 = bit(seven.ebx, 5);
  if (seven.eax >= 1) f.avx_vnni = bit(cpuid(7, 1).eax, 4);
  if ((saved & kZmmState) != kZmmState) return f;
  f.avx512f = bit(seven.ebx, 16);
  f.avx512dq = bit(seven.ebx, 17);
  f.avx512bw = bit(seven.ebx, 30);
  f.avx512vl = bit(seven.ebx, 31);
  f.avx512_vnni = bit(seven.ecx, 11);
  constexpr uint64_t kTileState = 0x60000;  // tile configuration and data
  f.amx_int8 = bit(seven.edx, 24) && bit(seven.edx, 25) && (saved & kTileState) == kTileState &&
               tiles_permitted();
  return f;
}

std::string brand() {
  if (cpuid(0x80000000u).eax < 0x80000004u) return {};
  std::array<char, 49> text{};
  for (uint32_t i = 0; i < 3; ++i) {
    const Regs r = cpuid(0x80000002u + i);
    const uint32_t words[4] = {r.eax, r.ebx, r.ecx, r.edx};
    std::memcpy(text.data() + 16 * i, words, sizeof words);
  }
  return text.data();
}

#else

#if defined(__aarch64__) || defined(_M_ARM64)

#if defined(__APPLE__)
bool has_feature(const char* name) noexcept {
  int value = 0;
  size_t bytes = sizeof value;
  return sysctlbyname(name, &value, &bytes, nullptr, 0) == 0 && value != 0;
}
#endif

CpuFeatures detect() noexcept {
  CpuFeatures f;
  f.neon = true;
#if defined(__linux__)
  constexpr unsigned long kDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  constexpr unsigned long kI8mm = 1ul << 13;        // HWCAP2_I8MM
  f.dotprod = (getauxval(AT_HWCAP) & kDotProduct) != 0;
  f.i8mm = (getauxval(AT_HWCAP2) & kI8mm) != 0;
#elif defined(__APPLE__)
  f.dotprod = has_feature("hw.optional.arm.FEAT_DotProd");
  f.i8mm = has_feature("hw.optional.arm.FEAT_I8MM");
#elif defined(_WIN32)
  constexpr DWORD kDotProduct = 43, kI8mm = 66;  // PF_ARM_V82_*_INSTRUCTIONS_AVAILABLE
  f.dotprod = IsProcessorFeaturePresent(kDotProduct) != 0;
  f.i8mm = IsProcessorFeaturePresent(kI8mm) != 0;
#endif
  return f;
}

#else

CpuFeatures detect() noexcept { return {}; }

#endif

std::string brand() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0 && line.rfind("Model", 0) != 0) continue;
    const size_t colon = line.find(':');
    if (colon != std::string::npos) return line.substr(colon + 1);
  }
  std::string board;  // 64-bit ARM has no "model name"; the device tree ends its text with a NUL
  std::getline(std::ifstream("/proc/device-tree/model"), board, '\0');
  return board;
}

#endif

// One space between words, none at the ends; cpuid pads with spaces.
std::string tidy(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\t' || c == '\n';
    if (!space) out += c;
    if (space && !out.empty() && out.back() != ' ') out += ' ';
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace

const CpuFeatures& cpu_features() noexcept {
  static const CpuFeatures features = detect();
  return features;
}

std::string cpu_name() {
  const std::string name = tidy(brand());
  return name.empty() ? "unknown CPU" : name;
}

}  // namespace gm
