// SPDX-License-Identifier: MIT
// Memory that runs out, at every place where loading, planning and a session ask for some: each
// time the answer is an exception of ours (or bad_alloc, which Python sees as ResourceError), what
// was taken is given back, and the next attempt works. operator new counts and fails on demand;
// mmap does so by a linker wrap (see CMakeLists.txt). A forward pass must not ask at all.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <random>

#include "base/error.h"
#include "check.h"
#include "kernels/dispatch.h"
#include "runtime/memory_plan.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "tiny_model.h"

namespace {

// Fails the request that brings `left` to 0, and those after it if `all`.
struct Fault {
  std::atomic<long> left{-1};  // negative: none fails
  std::atomic<bool> all{false};
  std::atomic<long> asked{0}, held{0};

  bool hit() noexcept {
    ++asked;
    if (left < 0) return false;
    const long now = --left;
    if (now > 0) return false;
    if (now < 0) left = 0;  // a later request
    return now == 0 || all;
  }
};
Fault heap, maps;

void* take(size_t bytes, size_t alignment) noexcept {
  if (heap.hit()) return nullptr;
  ++heap.held;
  const size_t rounded = (bytes + alignment) / alignment * alignment;
  return alignment > 16 ? std::aligned_alloc(alignment, rounded) : std::malloc(bytes + 1);
}

void give(void* p) noexcept {
  if (p != nullptr) --heap.held;
  std::free(p);
}

void* take_or_throw(size_t bytes, size_t alignment) {
  void* p = take(bytes, alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

void* operator new(size_t bytes) { return take_or_throw(bytes, 16); }
void* operator new[](size_t bytes) { return take_or_throw(bytes, 16); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return take(bytes, 16); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return take(bytes, 16); }
void* operator new(size_t bytes, std::align_val_t a) {
  return take_or_throw(bytes, static_cast<size_t>(a));
}
void* operator new[](size_t bytes, std::align_val_t a) {
  return take_or_throw(bytes, static_cast<size_t>(a));
}
void operator delete(void* p) noexcept { give(p); }
void operator delete[](void* p) noexcept { give(p); }
void operator delete(void* p, size_t) noexcept { give(p); }
void operator delete[](void* p, size_t) noexcept { give(p); }
void operator delete(void* p, std::align_val_t) noexcept { give(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { give(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { give(p); }

extern "C" void* __real_mmap(void*, size_t, int, int, int, off_t);
extern "C" int __real_munmap(void*, size_t);
extern "C" void* __wrap_mmap(void* at, size_t bytes, int prot, int flags, int fd, off_t offset) {
  if (maps.hit()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  ++maps.held;
  return __real_mmap(at, bytes, prot, flags, fd, offset);
}
extern "C" int __wrap_munmap(void* at, size_t bytes) {
  --maps.held;
  return __real_munmap(at, bytes);
}

namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  // A cache entry is synced to the disk each time: in memory that costs nothing.
  static fs::path place() {
    return fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
  }
  fs::path path = place() / ("gm_faults_" + std::to_string(std::random_device()()));
};

// Runs `work` with the n-th request failing, for every n until none fails any more.
template <class F>
void fail_each(Fault& fault, bool all, F&& work) {
  work();  // what is made once and kept is made
  long failed = 0;
  for (long n = 1;; ++n) {
    const long heap_held = heap.held, maps_held = maps.held;
    bool typed = true, threw = false;
    fault.all = all;
    fault.left = n;
    try {
      work();
    } catch (const gm::ResourceError&) {
      threw = true;
    } catch (const std::bad_alloc&) {
      threw = true;
    } catch (const std::exception&) {
      threw = true, typed = false;
    }
    const bool reached = fault.left == 0;
    fault.left = -1;
    CHECK(typed);
    CHECK_EQ(heap.held.load(), heap_held);
    CHECK_EQ(maps.held.load(), maps_held);
    failed += threw;
    if (!reached) break;
  }
  work();
  CHECK(failed > 3);
}

struct Setup {
  Setup() { gm::test::write_weights(path, plan, gm::Format::Q8_0); }
  Folder folder;
  gm::Plan plan = gm::test::TinyPlan({}).plan();
  std::string path = (folder.path / "tiny.gguf").string();

  std::shared_ptr<gm::Model> load(const std::string& cache = "") const {
    gm::ModelOptions options;
    options.threads = 2;
    options.cache = cache;
    return std::make_shared<gm::Model>(gm::gguf::File::open(path), plan, options);
  }
  static void use(const std::shared_ptr<gm::Model>& model) {
    gm::SessionOptions options;
    options.context = 100;
    gm::Session session(model, options);
    const int32_t tokens[] = {1, 2, 3};
    session.forward(tokens);
    session.candidates(4);
  }
  void plan_memory() const {
    const gm::MemoryPlan memory(gm::gguf::File::open(path), plan, gm::default_kernels(), 2);
    gm::SessionOptions options;
    options.context = 100;
    memory.bytes(options);
  }
  // `entry`: where it goes, known from a load before.
  void write_cache(const std::string& cache, const std::string& entry) const {
    unlink(entry.c_str());
    const auto model = load(cache);
    const auto writer = model->weights().cache_writer();
    while (writer->step()) {
    }
    writer->commit();
    load(cache);
  }
};

}  // namespace

GM_TEST(every_allocation_of_a_load_and_a_session) {
  const Setup setup;
  for (const bool all : {false, true}) fail_each(heap, all, [&] { setup.use(setup.load()); });
}

GM_TEST(every_allocation_of_a_memory_plan) {
  const Setup setup;
  for (const bool all : {false, true}) fail_each(heap, all, [&] { setup.plan_memory(); });
}

GM_TEST(every_map) {
  const Setup setup;
  for (const bool all : {false, true}) fail_each(maps, all, [&] { setup.use(setup.load()); });
}

GM_TEST(every_allocation_of_a_cache_entry) {
  const Setup setup;
  const std::string cache = (setup.folder.path / "cache").string();
  fs::create_directories(cache);
  const std::string entry = setup.load(cache)->weights().cache().path;
  fail_each(heap, false, [&] { setup.write_cache(cache, entry); });
}

GM_TEST(a_forward_pass_asks_for_nothing) {
  const Setup setup;
  const auto model = setup.load();
  gm::Session session(model, {100, 8, false, gm::KvType::Q8_0});
  const int32_t tokens[] = {1, 2, 3, 4, 5};
  session.forward(tokens);
  const long before = heap.asked + maps.asked;
  for (int i = 0; i < 5; ++i) session.forward(tokens);
  CHECK_EQ(heap.asked + maps.asked, before);
}
