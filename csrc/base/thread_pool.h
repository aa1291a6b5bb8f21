// SPDX-License-Identifier: MIT
// Fixed worker threads that run one job together; the calling thread is worker 0.
// A job takes chunks of work and goes from step to step by a StepGate. Waiting spins for tens of
// microseconds, then sleeps: an oversubscribed machine gets its core back instead of burning it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace gm {

class ThreadPool {
 public:
  using Job = void (*)(void* context, size_t worker) noexcept;

  // Starts threads - 1 threads (1 <= threads <= kMaxThreads). Throws ResourceError.
  explicit ThreadPool(size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  static constexpr size_t kMaxThreads = 1024;

  size_t size() const noexcept { return size_; }
  // Throws ResourceError in a forked child: threads do not survive a fork.
  void check_process() const;
  // Runs job on all workers; returns when all have returned. One caller at a time.
  void run(Job job, void* context) noexcept;
  // Spins, then sleeps, until the word (which its writer notifies) is no longer `value`.
  void wait_while(const std::atomic<uint32_t>& word, uint32_t value) const noexcept;

 private:
  struct alignas(64) Word {
    std::atomic<uint32_t> value{0};
  };

  void work(size_t worker) noexcept;
  void stop() noexcept;

  size_t size_ = 1;
  uint32_t spin_ns_ = 0;
  int64_t process_ = 0;
  std::unique_ptr<std::vector<std::thread>> threads_;
  Job job_ = nullptr;
  void* context_ = nullptr;
  bool stopping_ = false;
  Word epoch_;    // +1: a job is there (or the end)
  Word working_;  // workers besides the caller that still run the job
};

}  // namespace gm
