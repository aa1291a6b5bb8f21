// SPDX-License-Identifier: MIT
// How many threads are worth starting: physical performance cores that the affinity mask and the
// cgroup quota leave to this process. A second thread on a core shares its vector units, and a
// thread beyond the quota gets the whole process throttled.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace gm {

// What the system says about the CPUs that this process may use. Where it says nothing, every CPU
// counts as a core of its own and as a fast one.
struct CpuTopology {
  std::vector<int> cpus;         // allowed by the affinity mask
  size_t online = 0;             // CPUs of the machine; 0: unknown
  size_t sockets = 0;            // 0: unknown
  size_t cores = 0;              // physical, all kinds
  size_t performance_cores = 0;  // of the fast kind
  size_t threads_per_core = 1;   // hardware threads of the widest core
  double quota = 0;              // CPUs that the tightest cgroup grants; 0: no limit
};

struct ThreadAdvice {
  size_t count = 1;
  std::string why;  // one sentence
};

// For this process, on this machine. The topology has no CPUs on systems other than Linux.
ThreadAdvice default_threads();
CpuTopology cpu_topology();
// The same from the CPUs of a mask and the /sys and /proc below `root` (tests give their own).
CpuTopology read_topology(const std::vector<int>& cpus, const std::string& root);
ThreadAdvice advise_threads(const CpuTopology& topology);
// "0-3,8" -> 0 1 2 3 8; stops at what it does not understand.
std::vector<int> parse_cpu_list(const std::string& text);

}  // namespace gm
