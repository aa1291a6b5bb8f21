// SPDX-License-Identifier: MIT
// Machines made of files: hyperthreads, efficiency cores, and cgroup quotas of both versions.
#include "base/cpu_topology.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <utility>

#include "check.h"

namespace {

namespace fs = std::filesystem;

// A folder that plays "/", removed at the end.
class Root {
 public:
  Root() : path_(fs::temp_directory_path() / ("gm-topology-" + std::to_string(unique()))) {}
  ~Root() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text << "\n";
  }
  // `count` CPUs; CPU i shares a core with i + count / 2.
  void hyperthreads(int count) const {
    for (int i = 0; i < count; ++i) {
      const int core = i % (count / 2);
      write("sys/devices/system/cpu/cpu" + std::to_string(i) + "/topology/thread_siblings_list",
            std::to_string(core) + "," + std::to_string(core + count / 2));
    }
  }
  // CPU i has this part number and largest clock in kHz (0: no cpufreq).
  void arm_cores(const std::vector<std::pair<std::string, int>>& cores) const {
    std::string info;
    for (size_t i = 0; i < cores.size(); ++i) {
      info += "processor\t: " + std::to_string(i) +
              "\nBogoMIPS\t: 48.00\nCPU part\t: " + cores[i].first + "\n\n";
      if (cores[i].second == 0) continue;
      write("sys/devices/system/cpu/cpu" + std::to_string(i) + "/cpufreq/cpuinfo_max_freq",
            std::to_string(cores[i].second));
    }
    write("proc/cpuinfo", info);
  }
  gm::CpuTopology topology(const std::vector<int>& cpus) const {
    return gm::read_topology(cpus, path_.string() + "/");
  }
  gm::ThreadAdvice advise(const std::vector<int>& cpus) const {
    return gm::advise_threads(topology(cpus));
  }

 private:
  static unsigned unique() { return std::random_device()(); }
  fs::path path_;
};

bool says(const gm::ThreadAdvice& advice, const std::string& words) {
  return advice.why.find(words) != std::string::npos;
}

}  // namespace

GM_TEST(cpu_lists) {
  CHECK(gm::parse_cpu_list("0-3,8,10-11") == (std::vector<int>{0, 1, 2, 3, 8, 10, 11}));
  CHECK(gm::parse_cpu_list("5") == (std::vector<int>{5}));
  CHECK(gm::parse_cpu_list("").empty());
  CHECK(gm::parse_cpu_list("x").empty());
  CHECK(gm::parse_cpu_list("2,x") == (std::vector<int>{2}));
  CHECK(gm::parse_cpu_list("0-999999999").empty());
}

GM_TEST(hyperthreads_share_a_core) {
  const Root root;
  root.hyperthreads(8);
  CHECK_EQ(root.advise({0, 1, 2, 3, 4, 5, 6, 7}).count, 4u);
  CHECK_EQ(root.advise({0, 4}).count, 1u);
  CHECK_EQ(root.advise({0, 1, 5}).count, 2u);
  CHECK(says(root.advise({0, 1, 5}), "2 physical cores among the 3 CPUs"));
}

GM_TEST(efficiency_cores_are_left_out) {
  const Root root;
  root.write("sys/devices/cpu_core/cpus", "0-3");
  const gm::ThreadAdvice mixed = root.advise({0, 1, 2, 3, 4, 5});
  CHECK_EQ(mixed.count, 4u);
  CHECK(says(mixed, "performance"));
  CHECK_EQ(root.advise({4, 5}).count, 2u);  // nothing else is allowed

  const Root arm;
  for (int i = 0; i < 4; ++i)
    arm.write("sys/devices/system/cpu/cpu" + std::to_string(i) + "/cpu_capacity",
              i < 2 ? "1024" : "300");
  CHECK_EQ(arm.advise({0, 1, 2, 3}).count, 2u);
}

GM_TEST(clocks_tell_little_cores_where_there_is_no_capacity) {
  const std::pair<std::string, int> a53{"0xd03", 1416000}, a72{"0xd08", 1800000};
  const std::pair<std::string, int> a55{"0xd05", 1800000}, a76{"0xd0b", 2208000};
  const Root rk3399;
  rk3399.arm_cores({a53, a53, a53, a53, a72, a72});
  CHECK_EQ(rk3399.topology({0, 1, 2, 3, 4, 5}).performance_cores, 2u);
  CHECK(says(rk3399.advise({0, 1, 2, 3, 4, 5}), "2 performance cores"));
  CHECK_EQ(rk3399.advise({0, 1, 2, 3}).count, 4u);  // nothing else is allowed
  const Root rk3588;
  rk3588.arm_cores({a55, a55, a55, a55, a76, a76, a76, a76});
  CHECK_EQ(rk3588.advise({0, 1, 2, 3, 4, 5, 6, 7}).count, 4u);
  // The kernel's own measure goes before the clock.
  for (int i = 0; i < 8; ++i)
    rk3588.write("sys/devices/system/cpu/cpu" + std::to_string(i) + "/cpu_capacity", "1024");
  CHECK_EQ(rk3588.advise({0, 1, 2, 3, 4, 5, 6, 7}).count, 8u);
}

GM_TEST(clocks_say_nothing_else) {
  const std::pair<std::string, int> slow_a53{"0xd03", 1000000}, a53{"0xd03", 1500000};
  const Root one_design;  // S912: slower, but of the same kind
  one_design.arm_cores({a53, a53, slow_a53, slow_a53});
  CHECK_EQ(one_design.advise({0, 1, 2, 3}).count, 4u);
  const Root faster_little;  // S922X: the A53 have the higher clock
  faster_little.arm_cores({{"0xd03", 1896000}, {"0xd09", 1800000}, {"0xd09", 1800000}});
  CHECK_EQ(faster_little.advise({0, 1, 2}).count, 3u);
  const Root middle;  // 1 X3, 2 A715 and 1 A510
  middle.arm_cores(
      {{"0xd4e", 3200000}, {"0xd4d", 2800000}, {"0xd4d", 2800000}, {"0xd46", 2000000}});
  CHECK_EQ(middle.advise({0, 1, 2, 3}).count, 3u);
  const Root no_clock;
  no_clock.arm_cores({{"0xd03", 0}, {"0xd08", 0}});
  CHECK_EQ(no_clock.advise({0, 1}).count, 2u);
  const Root x86;  // no part numbers: Zen 5 beside Zen 5c
  x86.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "5100000");
  x86.write("sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq", "3300000");
  CHECK_EQ(x86.advise({0, 1}).count, 2u);
}

GM_TEST(cgroup_v2_quota_of_any_parent) {
  const Root root;
  root.write("proc/self/cgroup", "0::/a/b");
  root.write("sys/fs/cgroup/a/b/cpu.max", "max 100000");
  CHECK_EQ(root.advise({0, 1, 2, 3}).count, 4u);
  root.write("sys/fs/cgroup/a/cpu.max", "250000 100000");
  CHECK_EQ(root.advise({0, 1, 2, 3}).count, 2u);
  CHECK(says(root.advise({0, 1, 2, 3}), "2.50 CPUs"));
  root.write("sys/fs/cgroup/cpu.max", "50000 100000");
  CHECK_EQ(root.advise({0, 1, 2, 3}).count, 1u);
}

GM_TEST(cgroup_v1_quota) {
  const Root root;
  root.write("proc/self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/docker/7");
  root.write("sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_quota_us", "-1");
  root.write("sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_period_us", "100000");
  CHECK_EQ(root.advise({0, 1, 2, 3}).count, 4u);
  root.write("sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_quota_us", "300000");
  CHECK_EQ(root.advise({0, 1, 2, 3}).count, 3u);
}

GM_TEST(sockets_cores_and_threads) {
  const Root root;
  root.hyperthreads(8);
  root.write("sys/devices/system/cpu/online", "0-7");
  for (int i = 0; i < 8; ++i)
    root.write("sys/devices/system/cpu/cpu" + std::to_string(i) + "/topology/physical_package_id",
               i % 4 < 2 ? "0" : "1");
  root.write("sys/devices/cpu_core/cpus", "0-1,4-5");
  root.write("sys/devices/cpu_atom/cpus", "2-3,6-7");
  root.write("proc/self/cgroup", "0::/a");
  root.write("sys/fs/cgroup/a/cpu.max", "150000 100000");
  const gm::CpuTopology all = root.topology({0, 1, 2, 3, 4, 5, 6, 7});
  CHECK_EQ(all.online, 8u);
  CHECK_EQ(all.sockets, 2u);
  CHECK_EQ(all.cores, 4u);
  CHECK_EQ(all.performance_cores, 2u);
  CHECK_EQ(all.threads_per_core, 2u);
  CHECK(all.quota == 1.5);
  const gm::CpuTopology one = root.topology({0, 4});
  CHECK_EQ(one.online, 8u);
  CHECK_EQ(one.sockets, 1u);
  CHECK_EQ(one.cores, 1u);
}

GM_TEST(nothing_can_be_read) {
  const Root root;
  const gm::CpuTopology blank = root.topology({0, 1, 2});
  CHECK_EQ(blank.online, 0u);
  CHECK_EQ(blank.sockets, 0u);
  CHECK_EQ(blank.cores, 3u);
  CHECK_EQ(blank.performance_cores, 3u);
  CHECK_EQ(blank.threads_per_core, 1u);
  CHECK(blank.quota == 0);
  CHECK_EQ(root.advise({0, 1, 2}).count, 3u);
  CHECK_EQ(root.advise({}).count, 1u);
  CHECK(gm::default_threads().count >= 1);
  CHECK(!gm::default_threads().why.empty());
}
