// SPDX-License-Identifier: MIT
// Leads workers through steps that are cut into chunks, without a barrier between the steps: a step
// is over when its chunks are done, not when all threads have arrived. Each worker owns a run of
// consecutive chunks (one stream of memory) and takes them from the front; who has none left takes
// from the back of the others. A run is one word, so a chunk is taken once and by one thread; a
// late thread can only take a chunk of the step that is open. A thread that the system does not run
// for a while, and that holds no chunk, delays nobody.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace gm {

class StepGate {
 public:
  enum class Turn { Chunk, Wait, End };

  // For workers 0 to workers - 1; workers > 0.
  explicit StepGate(size_t workers) : workers_(workers), runs_(new Run[workers]) {}

  // Publishes a step; whatever the caller wrote before is visible to who takes a chunk of it. Only
  // while no chunk is held: before the workers start, or by the one that finish() told so.
  void open(uint32_t chunks) noexcept {
    done_.store(0, std::memory_order_relaxed);
    closed_.store(false, std::memory_order_relaxed);
    for (size_t w = 0; w < workers_; ++w)
      runs_[w].word.store(word(first(chunks, w), first(chunks, w + 1)), std::memory_order_release);
    announce();
  }
  // No more steps: every take() is the End, until the next open().
  void close() noexcept {
    closed_.store(true, std::memory_order_release);
    announce();
  }

  // Chunk: *chunk is the caller's to run, then to finish(). Wait: the open step has no chunk left;
  // wait while phase() is *phase, then take again.
  Turn take(size_t worker, uint32_t* chunk, uint32_t* phase) noexcept {
    *phase = phase_.load(std::memory_order_acquire);
    if (take_front(runs_[worker].word, chunk)) return Turn::Chunk;
    for (size_t i = 1; i < workers_; ++i)
      if (take_back(runs_[(worker + i) % workers_].word, chunk)) return Turn::Chunk;
    return closed_.load(std::memory_order_acquire) ? Turn::End : Turn::Wait;
  }
  // A chunk is done. True for the last one of `chunks`: its caller opens the next step or closes.
  bool finish(uint32_t chunks) noexcept {
    return done_.fetch_add(1, std::memory_order_acq_rel) + 1 == chunks;
  }
  const std::atomic<uint32_t>& phase() const noexcept { return phase_; }

  // The first of the chunks that worker w owns.
  uint32_t first(uint32_t chunks, size_t w) const noexcept {
    return static_cast<uint32_t>(uint64_t{chunks} * w / workers_);
  }

 private:
  struct alignas(64) Run {
    std::atomic<uint64_t> word{0};  // next chunk << 32 | end
  };

  static uint64_t word(uint32_t next, uint32_t end) noexcept { return uint64_t{next} << 32 | end; }
  static bool empty(uint64_t run) noexcept { return run >> 32 >= (run & 0xffffffffu); }

  static bool take_front(std::atomic<uint64_t>& run, uint32_t* chunk) noexcept {
    uint64_t now = run.load(std::memory_order_relaxed);
    do {
      if (empty(now)) return false;
    } while (!run.compare_exchange_weak(now, now + (uint64_t{1} << 32), std::memory_order_acquire,
                                        std::memory_order_relaxed));
    *chunk = static_cast<uint32_t>(now >> 32);
    return true;
  }
  static bool take_back(std::atomic<uint64_t>& run, uint32_t* chunk) noexcept {
    uint64_t now = run.load(std::memory_order_relaxed);
    do {
      if (empty(now)) return false;
    } while (!run.compare_exchange_weak(now, now - 1, std::memory_order_acquire,
                                        std::memory_order_relaxed));
    *chunk = static_cast<uint32_t>(now) - 1;
    return true;
  }

  void announce() noexcept {
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
  }

  size_t workers_;
  std::unique_ptr<Run[]> runs_;
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};  // +1: another step, or the end
  std::atomic<bool> closed_{true};
};

}  // namespace gm
