// SPDX-License-Identifier: MIT
// Linux says it in files: thread_siblings_list names the hardware threads of a core, cpu_core/cpus
// (x86), cpu_capacity or cpuinfo_max_freq (ARM) the fast cores, cpu.max or cfs_quota_us the quota
// of each cgroup from ours up to the root. Everything is optional: what cannot be read does not
// limit.
#include "base/cpu_topology.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace gm {
namespace {

constexpr int kMaxCpu = 1 << 16;

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<int64_t> read_number(const std::string& path) {
  const auto line = first_line(path);
  if (!line) return std::nullopt;
  std::istringstream text(*line);
  int64_t value = 0;
  if (!(text >> value)) return std::nullopt;
  return value;
}

// CPUs that a cgroup v2 (cpu.max) or v1 (cfs_quota_us) folder grants; infinite without a limit.
double folder_quota(const std::string& folder) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  if (const auto line = first_line(folder + "/cpu.max")) {
    std::istringstream text(*line);
    double quota = 0, period = 0;
    if (text >> quota >> period && quota > 0 && period > 0) return quota / period;
    return kNone;  // "max 100000"
  }
  const auto quota = read_number(folder + "/cpu.cfs_quota_us");
  const auto period = read_number(folder + "/cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return kNone;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

// The tightest quota of the group and its parents below a mount of the hierarchy.
double chain_quota(const std::string& mount, std::string group) {
  double quota = std::numeric_limits<double>::infinity();
  for (;;) {
    quota = std::min(quota, folder_quota(mount + group));
    if (group.empty()) return quota;
    group.erase(group.find_last_of('/') == std::string::npos ? 0 : group.find_last_of('/'));
  }
}

bool lists_controller(const std::string& controllers, const std::string& name) {
  std::istringstream text(controllers);
  for (std::string item; std::getline(text, item, ',');) {
    if (item == name) return true;
  }
  return false;
}

double cgroup_quota(const std::string& root) {
  double quota = std::numeric_limits<double>::infinity();
  const std::string base = root + "sys/fs/cgroup";
  std::ifstream groups(root + "proc/self/cgroup");
  // Each line is "id:controllers:/group"; v2 has no controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string group = line.substr(second + 1);
    while (!group.empty() && group.back() == '/') group.pop_back();
    if (controllers.empty()) {
      quota = std::min(quota, chain_quota(base, group));
      quota = std::min(quota, chain_quota(base + "/unified", group));
    } else if (lists_controller(controllers, "cpu")) {
      quota = std::min(quota, chain_quota(base + "/cpu", group));
      quota = std::min(quota, chain_quota(base + "/cpu,cpuacct", group));
    }
  }
  return quota;
}

// The part number of each CPU as /proc/cpuinfo names it on ARM; empty elsewhere.
std::map<int, std::string> cpu_parts(const std::string& root) {
  std::map<int, std::string> parts;
  std::ifstream info(root + "proc/cpuinfo");
  int cpu = -1;
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(colon + 1);
    if (line.rfind("processor", 0) == 0) {
      const std::vector<int> number = parse_cpu_list(value);
      cpu = number.empty() ? -1 : number.front();
    } else if (line.rfind("CPU part", 0) == 0) {
      parts[cpu] = value;
    }
  }
  return parts;
}

// By cpu_capacity, the kernel's own measure: mid cores still help, little ones do not.
std::vector<int> capable_cpus(const std::vector<int>& cpus, const std::map<int, int64_t>& capacity,
                              int64_t best) {
  std::vector<int> fast;
  for (const int cpu : cpus) {
    if (2 * capacity.at(cpu) >= best) fast.push_back(cpu);
  }
  return fast;
}

// By the clock, for vendor kernels that know no capacity. It says little about a core of another
// design: little cores run at 0.6 to 0.82 of the clock of the big ones beside them (RK3399 0.79,
// RK3588 0.75 to 0.82), mid cores mostly above. A core of the same design is worth its clock, and
// no clock is compared where the parts are unknown (x86).
std::vector<int> clocked_cpus(const std::vector<int>& cpus, const std::map<int, int64_t>& clock,
                              const std::map<int, std::string>& parts) {
  int fastest = cpus.front();
  for (const int cpu : cpus) {
    if (clock.at(cpu) > clock.at(fastest)) fastest = cpu;
  }
  const auto part = [&](int cpu) {
    const auto found = parts.find(cpu);
    return found == parts.end() ? std::string() : found->second;
  };
  std::vector<int> fast;
  for (const int cpu : cpus) {
    const bool other = !part(cpu).empty() && part(cpu) != part(fastest);
    if (!other || 6 * clock.at(cpu) >= 5 * clock.at(fastest)) fast.push_back(cpu);
  }
  return fast;
}

// The CPUs of the fast kind, where the system tells kinds apart; else all of them.
std::vector<int> performance_cpus(const std::vector<int>& cpus, const std::string& root) {
  if (cpus.empty()) return cpus;
  if (const auto line = first_line(root + "sys/devices/cpu_core/cpus")) {
    const std::vector<int> cores = parse_cpu_list(*line);
    std::vector<int> fast;
    for (const int cpu : cpus) {
      if (std::find(cores.begin(), cores.end(), cpu) != cores.end()) fast.push_back(cpu);
    }
    return fast.empty() ? cpus : fast;
  }
  std::map<int, int64_t> capacity, clock;
  int64_t best = 0;
  for (const int cpu : cpus) {
    const std::string folder = root + "sys/devices/system/cpu/cpu" + std::to_string(cpu);
    capacity[cpu] = read_number(folder + "/cpu_capacity").value_or(0);
    clock[cpu] = read_number(folder + "/cpufreq/cpuinfo_max_freq").value_or(0);
    best = std::max(best, capacity[cpu]);
  }
  if (best > 0) return capable_cpus(cpus, capacity, best);
  return clocked_cpus(cpus, clock, cpu_parts(root));
}

// The different lines that a topology file of these CPUs has; without one, each CPU has its own.
std::set<std::string> topology_lines(const std::vector<int>& cpus, const std::string& root,
                                     const std::string& file) {
  std::set<std::string> lines;
  for (const int cpu : cpus) {
    const std::string name = std::to_string(cpu);
    const std::string folder = root + "sys/devices/system/cpu/cpu" + name + "/topology/";
    lines.insert(first_line(folder + file).value_or(name));
  }
  return lines;
}

std::string plural(size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

#if defined(__linux__)
std::vector<int> affinity() {
  std::vector<int> cpus;
  for (int limit = 1024; limit <= kMaxCpu;
       limit *= 2) {  // the kernel's mask may be wider than ours
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(limit));
    if (set == nullptr) return cpus;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(limit));
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    for (int cpu = 0; ok && cpu < limit; ++cpu) {
      if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set)) cpus.push_back(cpu);
    }
    CPU_FREE(set);
    if (ok) break;
  }
  return cpus;
}
#endif

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> cpus;
  std::istringstream in(text);
  int first = 0;
  while (in >> first && first >= 0 && first < kMaxCpu) {
    int last = first;
    if (in.peek() == '-') {
      in.get();
      if (!(in >> last) || last >= kMaxCpu) return cpus;
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (in.get() != ',') break;
  }
  return cpus;
}

CpuTopology read_topology(const std::vector<int>& cpus, const std::string& root) {
  CpuTopology out;
  out.cpus = cpus;
  const std::string all = root + "sys/devices/system/cpu/online";
  out.online = parse_cpu_list(first_line(all).value_or("")).size();
  const std::string package = root + "sys/devices/system/cpu/cpu0/topology/physical_package_id";
  if (first_line(package)) out.sockets = topology_lines(cpus, root, "physical_package_id").size();
  const std::set<std::string> cores = topology_lines(cpus, root, "thread_siblings_list");
  out.cores = cores.size();
  for (const std::string& siblings : cores)
    out.threads_per_core = std::max(out.threads_per_core, parse_cpu_list(siblings).size());
  const std::vector<int> fast = performance_cpus(cpus, root);
  out.performance_cores = topology_lines(fast, root, "thread_siblings_list").size();
  const double quota = cgroup_quota(root);
  if (quota < std::numeric_limits<double>::infinity()) out.quota = quota;
  return out;
}

ThreadAdvice advise_threads(const CpuTopology& topology) {
  if (topology.cpus.empty())
    return {1, "1 thread: the system does not say which CPUs this process may use"};
  const bool mixed = topology.performance_cores < topology.cores;
  size_t count = std::max<size_t>(topology.performance_cores, 1);
  std::string why = plural(count, mixed ? "performance core" : "physical core") + " among the " +
                    plural(topology.cpus.size(), "CPU") + " that this process may use";
  if (topology.quota > 0 && topology.quota < static_cast<double>(count)) {
    count = std::max<size_t>(static_cast<size_t>(topology.quota + 0.01), 1);
    std::ostringstream text;
    text.precision(2);
    text << std::fixed << topology.quota;
    why += ", held to a cgroup quota of " + text.str() + " CPUs";
  }
  return {count, plural(count, "thread") + ": " + why};
}

CpuTopology cpu_topology() {
#if defined(__linux__)
  return read_topology(affinity(), "/");
#else
  return {};
#endif
}

ThreadAdvice default_threads() {
#if defined(__linux__)
  return advise_threads(cpu_topology());
#else
#if defined(__APPLE__)
  int cores = 0;
  size_t bytes = sizeof cores;
  if (sysctlbyname("hw.perflevel0.physicalcpu", &cores, &bytes, nullptr, 0) == 0 && cores > 0) {
    const auto count = static_cast<size_t>(cores);
    return {count, plural(count, "thread") + ": the performance cores of this machine"};
  }
#endif
  const size_t count = std::max(std::thread::hardware_concurrency(), 1u);
  return {count, plural(count, "thread") + ": what the system reports as hardware threads"};
#endif
}

}  // namespace gm
