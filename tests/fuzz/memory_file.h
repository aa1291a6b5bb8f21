// SPDX-License-Identifier: MIT
// A file in memory with a name, as the reader wants one: a disk would be the slowest part.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace gm::fuzz {

class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fuzz", 0)) {
    if (fd_ < 0) std::abort();
  }
  ~MemoryFile() { close(fd_); }

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  void fill(const uint8_t* data, size_t size) const {
    if (ftruncate(fd_, 0) != 0 || pwrite(fd_, data, size, 0) != static_cast<ssize_t>(size))
      std::abort();
  }

 private:
  int fd_;
};

}  // namespace gm::fuzz
