// SPDX-License-Identifier: MIT
// Runs the registered tests; exit code 1 if a check failed, a test threw, or nothing ran.
#include <cstring>

#include "check.h"

static bool wanted(const char* name, int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::strcmp(name, argv[i]) == 0) return true;
  return argc == 1;
}

int main(int argc, char** argv) {
  int ran = 0;
  for (const auto& test : gm::test::tests()) {
    if (!wanted(test.name, argc, argv)) continue;
    const int before = gm::test::failures();
    try {
      test.run();
    } catch (const std::exception& e) {
      gm::test::fail(test.name, 0, std::string("threw: ") + e.what());
    }
    std::printf("%s %s\n", gm::test::failures() == before ? "ok    " : "FAILED", test.name);
    ++ran;
  }
  return ran > 0 && gm::test::failures() == 0 ? 0 : 1;
}
