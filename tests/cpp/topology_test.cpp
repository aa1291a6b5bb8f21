// SPDX-License-Identifier: MIT
// Machines made of files: hyperthreads, efficiency cores, and cgroup quotas of both versions.
#include "base/cpu_topology.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

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
