// SPDX-License-Identifier: MIT
// Reading a mapped file may fail long after it was opened: another program shortens it, a disk or a
// network drive goes away. POSIX then sends SIGBUS, which ends the process. A guard puts zeros in
// place of what cannot be read, so that the reader goes on, and remembers that its map is broken:
// whoever hands out a result asks first. A SIGBUS anywhere else goes to the handler that was there
// before, or ends the process as ever.
// Windows does not let a mapped file be shortened; a medium that fails still ends the process
// there, as structured exceptions are not caught.
#pragma once

#include <cstddef>

namespace gm {

struct WatchedRange;

class MapGuard {
 public:
  // Throws std::bad_alloc. Nothing is watched yet.
  MapGuard();
  ~MapGuard();
  MapGuard(const MapGuard&) = delete;
  MapGuard& operator=(const MapGuard&) = delete;

  // From now to ignore(): a map that nobody else moves or writes to. Once.
  void watch(const void* data, size_t size) noexcept;
  // Before the map is given back to the system.
  void ignore() noexcept;
  // Whether some of it could not be read.
  bool broken() const noexcept;

 private:
  WatchedRange* range_;
};

}  // namespace gm
