// SPDX-License-Identifier: MIT
// Two words carry everything: epoch_ (a job is there) and working_ (who is still busy). They are
// watched first spinning, then asleep in std::atomic::wait. Each word has its own cache line.
#include "base/thread_pool.h"

#include <chrono>
#include <system_error>

#include "base/cpu_topology.h"
#include "base/error.h"

#if defined(_WIN32)
#include <process.h>
#else
#include <unistd.h>
#endif

namespace gm {
namespace {

// The last chunks of a step end within a few microseconds of each other; a futex round trip costs
// about fifty. With more threads than cores somebody else needs the core at once.
constexpr uint32_t kSpinNs = 50'000;
constexpr uint32_t kCrowdedSpinNs = 2'000;
constexpr int kPausesPerClock = 16;  // a clock read costs as much as a few pauses

int64_t process_id() noexcept {
#if defined(_WIN32)
  return _getpid();
#else
  return getpid();
#endif
}

void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

}  // namespace

ThreadPool::ThreadPool(size_t threads)
    : size_(threads), process_(process_id()), threads_(new std::vector<std::thread>) {
  if (threads < 1 || threads > kMaxThreads) {
    throw ResourceError("[threads] A pool has 1 to " + std::to_string(kMaxThreads) +
                        " threads. Got " + std::to_string(threads) + ".");
  }
  spin_ns_ = threads > std::thread::hardware_concurrency() ? kCrowdedSpinNs : kSpinNs;
  try {
    threads_->reserve(threads - 1);
    for (size_t worker = 1; worker < threads; ++worker) {
      threads_->emplace_back([this, worker] { work(worker); });
    }
  } catch (const std::exception& error) {
    const size_t started = threads_->size() + 1;
    stop();
    throw ResourceError("[threads] The system must start every thread. Got " +
                        std::to_string(started) + " of " + std::to_string(threads) + " (" +
                        error.what() + "). Ask for fewer threads.");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
  if (process_ != process_id()) {
    threads_.release();  // after a fork the handles name threads that are not here: leave them
    return;
  }
  stopping_ = true;
  epoch_.value.fetch_add(1, std::memory_order_release);
  epoch_.value.notify_all();
  for (std::thread& thread : *threads_) thread.join();
  threads_->clear();
}

void ThreadPool::check_process() const {
  if (process_ == process_id()) return;
  throw ResourceError(
      "[threads] A model belongs to the process that loaded it. Got a call from a forked child, "
      "where its threads do not exist. Load the model after the fork, or start processes by "
      "spawn.");
}

void ThreadPool::wait_while(const std::atomic<uint32_t>& word, uint32_t value) const noexcept {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::nanoseconds(spin_ns_);
  do {
    for (int i = 0; i < kPausesPerClock; ++i) {
      if (word.load(std::memory_order_acquire) != value) return;
      pause();
    }
  } while (Clock::now() < end);
  while (word.load(std::memory_order_acquire) == value) word.wait(value, std::memory_order_acquire);
}

void ThreadPool::work(size_t worker) noexcept {
  for (uint32_t seen = 0;; ++seen) {
    wait_while(epoch_.value, seen);
    if (stopping_) return;
    job_(context_, worker);
    if (working_.value.fetch_sub(1, std::memory_order_acq_rel) == 1) working_.value.notify_one();
  }
}

void ThreadPool::run(Job job, void* context) noexcept {
  if (size_ == 1) {
    job(context, 0);
    return;
  }
  job_ = job;
  context_ = context;
  working_.value.store(static_cast<uint32_t>(size_ - 1), std::memory_order_relaxed);
  epoch_.value.fetch_add(1, std::memory_order_release);
  epoch_.value.notify_all();
  job(context, 0);
  for (uint32_t left; (left = working_.value.load(std::memory_order_acquire)) != 0;) {
    wait_while(working_.value, left);
  }
}

}  // namespace gm
