// SPDX-License-Identifier: MIT
// The handler may only use what is safe in a signal: lock-free atomics, sigaction, mmap. Watched
// ranges are a list that only grows; a range is reused after ignore(), never freed, so that the
// handler can walk the list at any time.
#include "base/map_guard.h"

#include <atomic>
#include <cstdint>
#include <mutex>

#if defined(__unix__) || defined(__APPLE__)
#define GM_SIGBUS 1
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace gm {

// begin is 0 while nothing is watched and while end changes.
struct WatchedRange {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<bool> broken{false};
  std::atomic<bool> taken{true};
  WatchedRange* next = nullptr;
};

namespace {

std::atomic<WatchedRange*> ranges{nullptr};

#ifdef GM_SIGBUS

static_assert(std::atomic<uintptr_t>::is_always_lock_free &&
              std::atomic<bool>::is_always_lock_free);

using Action = struct sigaction;

// Whose turn it is when a SIGBUS is not ours; the newest first. Never freed: see above.
struct Previous {
  Action action;
  Previous* older;
};
std::atomic<Previous*> previous{nullptr};
std::atomic<uintptr_t> page_bytes{4096};

void handle(int signal, siginfo_t* info, void* context);
void handle_only_ours(int signal, siginfo_t* info, void* context);

Action action_of(void (*handler)(int, siginfo_t*, void*)) noexcept {
  Action action{};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return action;
}

// The watched range of an address; null if there is none. An entry may change hands meanwhile, but
// not the one of the address: somebody reads there.
WatchedRange* range_of(uintptr_t address) noexcept {
  for (WatchedRange* r = ranges.load(); r != nullptr; r = r->next) {
    const uintptr_t begin = r->begin.load(), end = r->end.load();
    if (begin != 0 && begin <= address && address < end && begin == r->begin.load()) return r;
  }
  return nullptr;
}

// Zeros from the page of the address to the end of its map: one signal per file, not one per page.
// False if the address is not watched.
bool replace(const siginfo_t* info) noexcept {
  if (info->si_code <= 0) return false;  // sent by a program, there is no address
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  WatchedRange* range = range_of(address);
  if (range == nullptr) return false;
  range->broken.store(true);
  const uintptr_t first = address / page_bytes.load() * page_bytes.load();
  const int saved = errno;
  void* zeros = mmap(reinterpret_cast<void*>(first), range->end.load() - first, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  errno = saved;
  return zeros != MAP_FAILED;
}

// As if there were no handler: the signal ends the process when it comes again. A fault does so by
// itself.
void end_process(int signal, const siginfo_t* info) noexcept {
  Action nobody{};
  nobody.sa_handler = SIG_DFL;
  sigaction(signal, &nobody, nullptr);
  if (info->si_code <= 0) raise(signal);
}

// To the handler that was there before. One that wants the process to end takes itself out first,
// and may put back the one that it found, which can be this one: then the process ends. One that
// changes nothing has dealt with the signal.
void pass_on(int signal, siginfo_t* info, void* context) noexcept {
  const Previous* last = previous.load();
  if (last == nullptr || last->action.sa_handler == SIG_DFL) return end_process(signal, info);
  if (last->action.sa_handler == SIG_IGN) {
    if (info->si_code > 0) end_process(signal, info);  // a fault cannot be ignored
    return;
  }
  const Action waiting = action_of(handle_only_ours);
  sigaction(signal, &waiting, nullptr);
  if ((last->action.sa_flags & SA_SIGINFO) != 0) {
    last->action.sa_sigaction(signal, info, context);
  } else {
    last->action.sa_handler(signal);
  }
  Action now{};
  sigaction(signal, nullptr, &now);
  if (now.sa_sigaction != handle_only_ours) return end_process(signal, info);
  const Action ours = action_of(handle);
  sigaction(signal, &ours, nullptr);
}

void handle(int signal, siginfo_t* info, void* context) {
  if (!replace(info)) pass_on(signal, info, context);
}

// While another handler runs for one thread.
void handle_only_ours(int signal, siginfo_t* info, void*) {
  if (!replace(info)) end_process(signal, info);
}

// Also when somebody has installed another handler since: ours goes before it.
void install() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  Action now{};
  sigaction(SIGBUS, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 &&
      (now.sa_sigaction == handle || now.sa_sigaction == handle_only_ours))
    return;
  page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  previous = new Previous{now, previous.load()};
  const Action ours = action_of(handle);
  sigaction(SIGBUS, &ours, nullptr);
}

#else

void install() {}

#endif

WatchedRange* take_range() {
  for (WatchedRange* r = ranges.load(); r != nullptr; r = r->next) {
    if (!r->taken.exchange(true)) return r;
  }
  auto* fresh = new WatchedRange;
  fresh->next = ranges.load();
  while (!ranges.compare_exchange_weak(fresh->next, fresh)) {
  }
  return fresh;
}

}  // namespace

MapGuard::MapGuard() {
  install();
  range_ = take_range();
}

MapGuard::~MapGuard() {
  ignore();
  range_->taken = false;
}

void MapGuard::watch(const void* data, size_t size) noexcept {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  range_->broken = false;
  range_->end = begin + size;
  range_->begin = begin;
}

void MapGuard::ignore() noexcept { range_->begin = 0; }

bool MapGuard::broken() const noexcept { return range_->broken.load(std::memory_order_relaxed); }

}  // namespace gm
