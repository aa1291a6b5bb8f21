// SPDX-License-Identifier: MIT
// Overflow-safe arithmetic for sizes that come from a file or a user, and the debug check of the
// forward path. A sum or product that does not fit is a return value here, never a wrapped number:
// callers turn it into the error that names the tensor or key.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

// Compiled in with GM_DEBUG_CHECKS only (sanitizer and debug builds); stops where it fails.
#if defined(GM_DEBUG_CHECKS) && (defined(__GNUC__) || defined(__clang__))
#define GM_DCHECK(condition) ((condition) ? static_cast<void>(0) : __builtin_trap())
#else
#define GM_DCHECK(condition) static_cast<void>(sizeof(!(condition)))
#endif

namespace gm {

// Sizes are held below 2^63, so that they fit ptrdiff_t, off_t and Py_ssize_t too.
inline constexpr uint64_t kMaxSize = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());

// out = a + b; false (out untouched) if the sum exceeds kMaxSize.
[[nodiscard]] constexpr bool checked_add(uint64_t a, uint64_t b, uint64_t* out) noexcept {
  if (a > kMaxSize || b > kMaxSize - a) return false;
  *out = a + b;
  return true;
}

// out = a * b; false (out untouched) if the product exceeds kMaxSize.
[[nodiscard]] constexpr bool checked_mul(uint64_t a, uint64_t b, uint64_t* out) noexcept {
  if (a != 0 && b > kMaxSize / a) return false;
  *out = a * b;
  return true;
}

// out = a rounded up to a multiple of `alignment`, a power of two; false if that exceeds kMaxSize.
[[nodiscard]] constexpr bool checked_align(uint64_t a, uint64_t alignment, uint64_t* out) noexcept {
  uint64_t sum = 0;
  if (!checked_add(a, alignment - 1, &sum)) return false;
  *out = sum & ~(alignment - 1);
  return true;
}

}  // namespace gm
