// SPDX-License-Identifier: MIT
// Every worker runs every job; a StepGate hands out every chunk of every step once, in order of the
// steps, and what was written before a step is seen in it. ThreadSanitizer runs this file too.
#include "base/thread_pool.h"

#include "base/error.h"
#include "base/step_gate.h"
#include "check.h"

namespace {

struct Shared {
  gm::ThreadPool* pool;
  std::atomic<size_t> calls{0};
  std::atomic<size_t> next{0};
  std::atomic<size_t> errors{0};
  std::vector<size_t> done = {};  // by chunk: how often it was worked on
};

void count_and_take(void* context, size_t worker) noexcept {
  auto& s = *static_cast<Shared*>(context);
  if (worker >= s.pool->size()) ++s.errors;
  ++s.calls;
  for (size_t chunk = s.next++; chunk < s.done.size(); chunk = s.next++) ++s.done[chunk];
}

constexpr uint32_t kSteps = 300;

uint32_t chunks_of(uint32_t step) { return 2 + step % 7; }

struct Walk {
  gm::ThreadPool* pool;
  gm::StepGate gate{pool->size()};
  uint32_t step = 0;                  // plain: written by the thread that opens a step
  std::vector<uint32_t> before = {};  // by step and chunk: what the step before left; plain
  std::vector<uint32_t> now = {};
  std::atomic<size_t> errors{0};
};

// Chunk c of step s checks that every chunk of step s - 1 is done, then leaves its own mark.
void run_step_chunk(Walk& w, uint32_t chunk) {
  if (w.step > 0)
    for (uint32_t c = 0; c < chunks_of(w.step - 1); ++c)
      if (w.before[c] != w.step - 1) ++w.errors;
  if (w.now[chunk] == w.step) ++w.errors;  // taken twice
  w.now[chunk] = w.step;
}

void walk(void* context, size_t worker) noexcept {
  auto& w = *static_cast<Walk*>(context);
  for (uint32_t chunk, phase;;) {
    const auto turn = w.gate.take(worker, &chunk, &phase);
    if (turn == gm::StepGate::Turn::End) return;
    if (turn == gm::StepGate::Turn::Wait) {
      w.pool->wait_while(w.gate.phase(), phase);
      continue;
    }
    run_step_chunk(w, chunk);
    if (!w.gate.finish(chunks_of(w.step))) continue;
    std::swap(w.before, w.now);
    if (++w.step == kSteps) {
      w.gate.close();
    } else {
      w.gate.open(chunks_of(w.step));
    }
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

GM_TEST(steps_follow_each_other) {
  for (size_t threads = 1; threads <= 5; ++threads) {
    gm::ThreadPool pool(threads);
    Walk w{&pool};
    for (int repeat = 0; repeat < 5; ++repeat) {
      w.step = 0;
      w.before.assign(16, kSteps);
      w.now.assign(16, kSteps);
      w.gate.open(chunks_of(0));
      pool.run(walk, &w);
      CHECK_EQ(w.errors.load(), 0u);
      CHECK_EQ(w.step, kSteps);
    }
  }
}

GM_TEST(impossible_sizes) {
  CHECK_THROWS(gm::Error, "", gm::ThreadPool(0));
  CHECK_THROWS(gm::Error, "", gm::ThreadPool(gm::ThreadPool::kMaxThreads + 1));
}
