// SPDX-License-Identifier: MIT
// Zeroed memory of fixed size, aligned to a page: the home of panels, KV pages and the arena.
// It is mapped anonymously, so a byte that nobody touched costs no memory, and it never moves.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gm {

inline constexpr size_t kBufferAlign = 64;  // a cache line, and the widest vector

constexpr size_t align_up(size_t value, size_t alignment = kBufferAlign) noexcept {
  return (value + alignment - 1) / alignment * alignment;
}

class AlignedBuffer {
 public:
  AlignedBuffer() noexcept = default;
  // `bytes` of zeros; huge_pages asks for them where the system has them. `what` names the memory
  // in the ResourceError that is thrown when the system has none left.
  AlignedBuffer(size_t bytes, const char* what, bool huge_pages = false);
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  uint8_t* data() noexcept { return data_; }
  const uint8_t* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace gm
