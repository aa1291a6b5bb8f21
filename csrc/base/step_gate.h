// SPDX-License-Identifier: MIT
// Leads workers through steps that are cut into chunks, without a barrier between the steps: a step
// is over when its chunks are done, not when all threads have arrived. A thread that the system
// does not run for a while, and that holds no chunk, delays nobody; when it comes back it joins the
// step that is open then. Everything rests on one word that holds the number of chunks of the open
// step and the next chunk, so that a late thread can never take a chunk of a step that is over.
#pragma once

#include <atomic>
#include <cstdint>

namespace gm {

class StepGate {
 public:
  static constexpr uint32_t kMaxChunks = 0xfffffffe;
  enum class Turn { Chunk, Wait, End };

  // Publishes a step; whatever the caller wrote before is visible to who takes a chunk of it. Only
  // while no chunk is held: before the workers start, or by the one that finish() told so.
  void open(uint32_t chunks) noexcept { publish(uint64_t{chunks} << 32); }
  // No more steps: every take() is the End, until the next open().
  void close() noexcept { publish(kClosed); }

  // Chunk: *chunk is the caller's to run, then to finish(). Wait: the open step has no chunk left;
  // wait while phase() is *phase, then take again.
  Turn take(uint32_t* chunk, uint32_t* phase) noexcept {
    *phase = phase_.load(std::memory_order_acquire);
    const uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
    if (ticket >= kClosed) return Turn::End;
    *chunk = static_cast<uint32_t>(ticket);
    return *chunk < ticket >> 32 ? Turn::Chunk : Turn::Wait;
  }
  // A chunk is done. True for the last one of `chunks`: its caller opens the next step or closes.
  bool finish(uint32_t chunks) noexcept {
    return done_.fetch_add(1, std::memory_order_acq_rel) + 1 == chunks;
  }
  const std::atomic<uint32_t>& phase() const noexcept { return phase_; }

 private:
  static constexpr uint64_t kClosed = uint64_t{kMaxChunks + 1} << 32;

  void publish(uint64_t ticket) noexcept {
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(ticket, std::memory_order_release);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
  }

  alignas(64) std::atomic<uint64_t> ticket_{kClosed};  // chunks << 32 | next chunk
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};  // +1: another step, or the end
};

}  // namespace gm
