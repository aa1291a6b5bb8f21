// SPDX-License-Identifier: MIT
// How many threads are worth starting: physical performance cores that the affinity mask and the
// cgroup quota leave to this process. A second thread on a core shares its vector units, and a
// thread beyond the quota gets the whole process throttled.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace gm {

struct ThreadAdvice {
  size_t count = 1;
  std::string why;  // one sentence
};

// For this process, on this machine.
ThreadAdvice default_threads();
// The same from the CPUs of a mask and the /sys and /proc below `root` (tests give their own).
ThreadAdvice advise_threads(const std::vector<int>& cpus, const std::string& root);
// "0-3,8" -> 0 1 2 3 8; stops at what it does not understand.
std::vector<int> parse_cpu_list(const std::string& text);

}  // namespace gm
