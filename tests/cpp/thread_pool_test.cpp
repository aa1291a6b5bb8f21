// SPDX-License-Identifier: MIT
// Every worker runs every job, a barrier lets nobody through early and runs its completion once,
// and what was written before it is seen behind it. ThreadSanitizer runs this file too.
#include "base/thread_pool.h"

#include "base/error.h"
#include "check.h"

namespace {

constexpr size_t kRounds = 200;

struct Shared {
  gm::ThreadPool* pool;
  std::atomic<size_t> calls{0};
  std::atomic<size_t> next{0};
  std::atomic<size_t> errors{0};
  std::vector<size_t> done = {};     // by chunk: how often it was worked on
  std::vector<size_t> written = {};  // by worker: the round it is in; plain on purpose
  size_t completions = 0;            // plain: only the last to arrive writes it
};

void count_and_take(void* context, size_t worker) noexcept {
  auto& s = *static_cast<Shared*>(context);
  if (worker >= s.pool->size()) ++s.errors;
  ++s.calls;
  for (size_t chunk = s.next++; chunk < s.done.size(); chunk = s.next++) ++s.done[chunk];
}

void complete(void* context, size_t) noexcept { ++static_cast<Shared*>(context)->completions; }

void rounds(void* context, size_t worker) noexcept {
  auto& s = *static_cast<Shared*>(context);
  for (size_t round = 1; round <= kRounds; ++round) {
    s.written[worker] = round;
    s.pool->barrier(complete, &s, worker);
    for (const size_t seen : s.written)
      if (seen != round) ++s.errors;
    if (s.completions != 2 * round - 1) ++s.errors;
    s.pool->barrier(complete, &s, worker);
  }
}

}  // namespace

GM_TEST(every_worker_and_every_chunk_once) {
  for (size_t threads = 1; threads <= 5; ++threads) {
    gm::ThreadPool pool(threads);
    CHECK_EQ(pool.size(), threads);
    for (int repeat = 0; repeat < 50; ++repeat) {
      Shared s{&pool};
      s.done.assign(97, 0);
      pool.run(count_and_take, &s);
      CHECK_EQ(s.calls.load(), threads);
      CHECK_EQ(s.errors.load(), 0u);
      for (const size_t n : s.done) CHECK_EQ(n, 1u);
    }
  }
}

GM_TEST(barriers) {
  for (size_t threads = 1; threads <= 4; ++threads) {
    gm::ThreadPool pool(threads);
    Shared s{&pool};
    s.written.assign(threads, 0);
    pool.run(rounds, &s);
    CHECK_EQ(s.errors.load(), 0u);
    CHECK_EQ(s.completions, 2 * kRounds);
  }
}

GM_TEST(impossible_sizes) {
  CHECK_THROWS(gm::Error, "", gm::ThreadPool(0));
  CHECK_THROWS(gm::Error, "", gm::ThreadPool(gm::ThreadPool::kMaxThreads + 1));
}
