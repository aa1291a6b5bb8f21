// SPDX-License-Identifier: MIT
// Files that are shortened while they are mapped, beside another library that deals with SIGBUS in
// its own memory in its own way. What ends a process is in tests/plan/test_file_gone.py.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "check.h"

namespace gm {
namespace {

constexpr size_t kPages = 64;

size_t page() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

// A file of ones that is deleted at the end.
struct Ones {
  Ones() {
    const char* folder = std::getenv("TMPDIR");
    path = std::string(folder != nullptr ? folder : "/tmp") + "/gm_guard_XXXXXX";
    const int fd = mkstemp(path.data());
    close(fd);
    std::ofstream(path, std::ios::binary) << std::string(kPages * page(), '\1');
  }
  ~Ones() { unlink(path.c_str()); }
  void shorten(size_t size) const { CHECK_EQ(truncate(path.c_str(), static_cast<off_t>(size)), 0); }

  std::string path;
};

size_t sum(std::span<const uint8_t> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), size_t{0});
}

// The other library: puts a page of twos where it faults.
uint8_t* theirs = nullptr;
volatile int their_calls = 0;

void their_handler(int, siginfo_t* info, void*) {
  their_calls = their_calls + 1;
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr) / page() * page();
  if (at != reinterpret_cast<uintptr_t>(theirs)) _exit(9);
  mmap(theirs, page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  theirs[0] = 2;
}

// Reads a byte of a map behind the end of its file.
int read_theirs() {
  const Ones file;
  const int fd = open(file.path.c_str(), O_RDONLY);
  theirs = static_cast<uint8_t*>(mmap(nullptr, page(), PROT_READ, MAP_SHARED, fd, 0));
  close(fd);
  file.shorten(0);
  const int value = *const_cast<volatile uint8_t*>(theirs);
  munmap(theirs, page());
  return value;
}

}  // namespace

GM_TEST(a_shortened_file_reads_as_zeros_and_is_known) {
  const Ones file, other;
  const MappedFile map(file.path), whole(other.path);
  CHECK_EQ(sum(map.bytes()), kPages * page());
  map.check();
  map.drop(0, map.size());
  file.shorten(3 * page() + 5);
  CHECK(!map.broken());
  CHECK_THROWS(ResourceError, "was shortened", map.check());  // nobody has read there yet
  CHECK_EQ(sum(map.bytes()), 3 * page() + 5);
  CHECK(map.broken());
  CHECK_THROWS(ResourceError, file.path, map.check());
  file.shorten(kPages * page());  // growing it again does not bring them back
  CHECK_THROWS(ResourceError, "could not be read", map.check());
  CHECK_EQ(sum(whole.bytes()), kPages * page());
  whole.check();
  MappedFile(file.path).check();  // the watched range is used again, unbroken
}

GM_TEST(a_file_that_is_replaced_or_deleted_is_whole) {
  const Ones file, other;
  const MappedFile map(file.path);
  CHECK_EQ(std::rename(other.path.c_str(), file.path.c_str()), 0);
  CHECK_EQ(truncate(file.path.c_str(), 5), 0);
  CHECK_EQ(sum(map.bytes()), kPages * page());
  map.check();
  unlink(file.path.c_str());
  map.check();
}

GM_TEST(many_threads_and_files) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 20; ++i) {
        const Ones file;
        const MappedFile map(file.path);
        file.shorten(page());
        CHECK_EQ(sum(map.bytes()), page());
        CHECK(map.broken());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

GM_TEST(another_handler_keeps_its_faults) {
  const Ones file;
  const auto before = std::make_unique<MappedFile>(file.path);  // ours is the older one
  struct sigaction action{};
  action.sa_sigaction = their_handler;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
  CHECK_EQ(read_theirs(), 2);
  const MappedFile map(file.path);  // and now it goes first
  for (int i = 2; i < 4; ++i) {
    CHECK_EQ(read_theirs(), 2);
    CHECK_EQ(their_calls, i);
  }
  file.shorten(page());
  CHECK_EQ(sum(map.bytes()), page());
  CHECK_EQ(sum(before->bytes()), page());
  CHECK(map.broken() && before->broken());
  CHECK_EQ(their_calls, 3);
}

}  // namespace gm
