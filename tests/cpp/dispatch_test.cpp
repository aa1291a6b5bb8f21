// SPDX-License-Identifier: MIT
// Which ISA levels a CPU gets, for CPUs of several generations, and what GRISTMILL_ISA changes.
#include "kernels/dispatch.h"

#include <cstdlib>

#include "base/error.h"
#include "check.h"

namespace {

using gm::CpuFeatures;
using Names = std::vector<std::string>;

CpuFeatures haswell() {
  CpuFeatures cpu;
  cpu.avx2 = cpu.fma = cpu.f16c = true;
  return cpu;
}

[[maybe_unused]] CpuFeatures alder_lake() {
  CpuFeatures cpu = haswell();
  cpu.avx_vnni = true;
  return cpu;
}

CpuFeatures skylake_x() {
  CpuFeatures cpu = haswell();
  cpu.avx512f = cpu.avx512bw = cpu.avx512dq = cpu.avx512vl = true;
  return cpu;
}

CpuFeatures ice_lake() {
  CpuFeatures cpu = skylake_x();
  cpu.avx512_vnni = true;
  return cpu;
}

#if defined(__aarch64__) || defined(_M_ARM64)
CpuFeatures raspberry_pi_4() {
  CpuFeatures cpu;
  cpu.neon = true;
  return cpu;
}

CpuFeatures raspberry_pi_5() {  // and Apple M1
  CpuFeatures cpu = raspberry_pi_4();
  cpu.dotprod = true;
  return cpu;
}

CpuFeatures apple_m2() {
  CpuFeatures cpu = raspberry_pi_5();
  cpu.i8mm = true;
  return cpu;
}
#endif

// Sets GRISTMILL_ISA for a scope.
struct Forced {
  std::string before;
  explicit Forced(const char* isa) {
    const char* old = std::getenv("GRISTMILL_ISA");
    before = old == nullptr ? "" : old;
    set(isa);
  }
  ~Forced() { set(before.c_str()); }
  static void set(const char* isa) {
#if defined(_WIN32)
    _putenv_s("GRISTMILL_ISA", isa);
#else
    setenv("GRISTMILL_ISA", isa, 1);
#endif
  }
};

std::string chosen(const CpuFeatures& cpu) { return gm::default_kernels(cpu).name; }

}  // namespace

GM_TEST(every_cpu_gets_its_levels_slowest_first) {
  CHECK(gm::available_isas(CpuFeatures{}) == Names{"scalar"});
#if defined(__x86_64__) || defined(_M_X64)
  CHECK((gm::available_isas(haswell()) == Names{"scalar", "avx2"}));
  CHECK((gm::available_isas(alder_lake()) == Names{"scalar", "avx2", "avx2_vnni"}));
  CHECK((gm::available_isas(skylake_x()) == Names{"scalar", "avx2", "avx512"}));
  CHECK((gm::available_isas(ice_lake()) == Names{"scalar", "avx2", "avx512", "avx512_vnni"}));
#endif
}

#if defined(__aarch64__) || defined(_M_ARM64)
GM_TEST(every_arm_cpu_gets_its_levels_slowest_first) {
  CHECK((gm::available_isas(raspberry_pi_4()) == Names{"scalar", "neon"}));
  CHECK((gm::available_isas(raspberry_pi_5()) == Names{"scalar", "neon", "neon_dot"}));
  CHECK((gm::available_isas(apple_m2()) == Names{"scalar", "neon", "neon_dot", "neon_i8mm"}));
  const Forced none("");
  CHECK_EQ(chosen(raspberry_pi_4()), std::string("neon"));
  CHECK_EQ(chosen(raspberry_pi_5()), std::string("neon_dot"));
  CHECK_EQ(chosen(apple_m2()), std::string("neon_i8mm"));
  CpuFeatures cpu = apple_m2();
  cpu.dotprod = false;
  CHECK((gm::available_isas(cpu) == Names{"scalar", "neon"}));
  CHECK_THROWS(gm::UnsupportedError, "cannot run ISA level neon_i8mm",
               gm::kernels_for("neon_i8mm", raspberry_pi_5()));
}

// What the emulated CPU has is what the system says: the test run on cortex-a53, cortex-a76 and max
// (.ci/run arm) names the level that it expects.
GM_TEST(this_cpu_has_the_expected_level) {
  const char* expected = std::getenv("GM_EXPECTED_ISA");
  if (expected != nullptr) CHECK_EQ(gm::available_isas().back(), std::string(expected));
}
#endif

GM_TEST(the_best_level_is_the_default) {
  const Forced none("");
  CHECK_EQ(chosen(CpuFeatures{}), std::string("scalar"));
#if defined(__x86_64__) || defined(_M_X64)
  CHECK_EQ(chosen(haswell()), std::string("avx2"));
  CHECK_EQ(chosen(alder_lake()), std::string("avx2_vnni"));
  CHECK_EQ(chosen(skylake_x()), std::string("avx512"));
  CHECK_EQ(chosen(ice_lake()), std::string("avx512_vnni"));
#endif
}

// One missing flag takes away every level that needs it.
GM_TEST(half_a_level_does_not_count) {
  for (bool CpuFeatures::* flag : {&CpuFeatures::avx2, &CpuFeatures::fma, &CpuFeatures::f16c}) {
    CpuFeatures cpu = ice_lake();
    cpu.*flag = false;
    CHECK(gm::available_isas(cpu) == Names{"scalar"});
  }
#if defined(__x86_64__) || defined(_M_X64)
  for (bool CpuFeatures::* flag : {&CpuFeatures::avx512f, &CpuFeatures::avx512bw,
                                   &CpuFeatures::avx512dq, &CpuFeatures::avx512vl}) {
    CpuFeatures cpu = ice_lake();
    cpu.*flag = false;
    CHECK((gm::available_isas(cpu) == Names{"scalar", "avx2"}));
  }
#endif
}

GM_TEST(the_environment_forces_a_level) {
  const Forced scalar("scalar");
  CHECK_EQ(chosen(ice_lake()), std::string("scalar"));
#if defined(__x86_64__) || defined(_M_X64)
  Forced::set("avx2");
  CHECK_EQ(chosen(ice_lake()), std::string("avx2"));
#endif
}

GM_TEST(a_level_that_the_cpu_lacks_is_refused) {
#if defined(__x86_64__) || defined(_M_X64)
  const Forced missing("avx512_vnni");
  CHECK_THROWS(gm::UnsupportedError, "cannot run ISA level avx512_vnni",
               gm::default_kernels(haswell()));
#endif
  CHECK_THROWS(gm::UnsupportedError, "Available: scalar.", gm::kernels_for("avx2", {}));
  CHECK_THROWS(gm::UnsupportedError, "there is no ISA level",
               gm::kernels_for("avx1024", ice_lake()));
}
