// SPDX-License-Identifier: MIT
// mmap where there is one, else an aligned allocation that is cleared.
#include "base/aligned_buffer.h"

#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "base/error.h"

#if defined(__unix__) || defined(__APPLE__)
#define GM_MMAP 1
#include <sys/mman.h>
#endif

namespace gm {
namespace {

uint8_t* acquire(size_t bytes) noexcept {
#ifdef GM_MMAP
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<uint8_t*>(p);
#else
  void* p = ::operator new(bytes, std::align_val_t{kBufferAlign}, std::nothrow);
  if (p != nullptr) std::memset(p, 0, bytes);
  return static_cast<uint8_t*>(p);
#endif
}

void release(uint8_t* data, size_t bytes) noexcept {
  if (data == nullptr) return;
#ifdef GM_MMAP
  munmap(data, bytes);
#else
  (void)bytes;
  ::operator delete(data, std::align_val_t{kBufferAlign});
#endif
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes, const char* what, bool huge_pages) {
  if (bytes == 0) return;
  const bool possible = bytes <= std::numeric_limits<size_t>::max() / 2;
  data_ = possible ? acquire(bytes) : nullptr;
  if (data_ == nullptr) {
    throw ResourceError(std::string("[memory] ") + what + " must fit into memory. Got " +
                        std::to_string(bytes) + " bytes, which the system refuses.");
  }
  size_ = bytes;
#if defined(GM_MMAP) && defined(MADV_HUGEPAGE)
  if (huge_pages) madvise(data_, size_, MADV_HUGEPAGE);  // a wish: it may fail
#else
  (void)huge_pages;
#endif
}

AlignedBuffer::~AlignedBuffer() { release(data_, size_); }

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace gm
