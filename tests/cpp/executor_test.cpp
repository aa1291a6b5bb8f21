// SPDX-License-Identifier: MIT
// Several sessions of one model on several threads: each gets the bits that it gets alone, for any
// KV type, and one that is refused disturbs nobody. ThreadSanitizer runs this file too.
#include <filesystem>
#include <random>
#include <thread>

#include "base/error.h"
#include "check.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "tiny_encoder.h"
#include "tiny_model.h"

namespace {

namespace fs = std::filesystem;

// Large enough that steps are cut into chunks, linear ones and attention.
constexpr gm::test::TinyShape kShape{256, 512, 2, 8, 4, 32, 3000, true};
constexpr size_t kContext = 700;

std::shared_ptr<gm::Model> load(size_t threads, const gm::Plan& plan) {
  const std::string path =
      (fs::temp_directory_path() / ("gm_executor_" + std::to_string(std::random_device()())))
          .string();
  gm::test::write_weights(path, plan, gm::Format::Q8_0);
  gm::ModelOptions options;
  options.threads = threads;
  auto model = std::make_shared<gm::Model>(gm::gguf::File::open(path), plan, options);
  fs::remove(path);
  return model;
}

std::shared_ptr<gm::Model> load(size_t threads, size_t experts = 0) {
  gm::test::TinyShape shape = kShape;
  shape.experts = experts;
  return load(threads, gm::test::TinyPlan(shape).plan());
}

// What an encoder makes of a text of so many tokens, some of them of the second type.
std::vector<float> encoded(gm::Session& session, size_t count) {
  std::minstd_rand random(static_cast<unsigned>(count));
  std::vector<int32_t> tokens(count), types(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kShape.vocab);
  for (size_t t = count / 2; t < count; ++t) types[t] = 1;
  session.forward(tokens, types);
  CHECK_EQ(session.logits_rows(), 1u);
  return {session.logits(), session.logits() + session.output_width()};
}

// What a session of this number does: batches of its own sizes, a step back, single tokens.
std::vector<float> converse(const std::shared_ptr<gm::Model>& model, unsigned number) {
  gm::SessionOptions options;
  options.context = kContext;
  options.max_batch = 300;
  options.kv = static_cast<gm::KvType>(number % 3);
  gm::Session session(model, options);
  std::minstd_rand random(number + 1);
  const auto feed = [&](size_t count) {
    std::vector<int32_t> tokens(count);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kShape.vocab);
    session.forward(tokens);
  };
  feed(3 + 97 * number);
  feed(60);
  session.truncate(session.reachable(session.position() - 30));
  std::vector<float> out;
  for (int i = 0; i < 12; ++i) {
    feed(1);
    const int32_t wrong[] = {1, -1};
    if (number % 2 == 0) {
      CHECK_THROWS(gm::ContextError, "index 1", session.forward(wrong));
      CHECK_THROWS(gm::ContextError, "at least one", session.forward({}));
      CHECK_THROWS(gm::ContextError, "holds", session.truncate(kContext + 1));
    }
    const gm::Candidates best = session.candidates(5);
    out.insert(out.end(), best.logits.begin(), best.logits.end());
    out.insert(out.end(), session.logits(), session.logits() + kShape.vocab);
  }
  return out;
}

}  // namespace

GM_TEST(sessions_on_threads_get_the_bits_that_they_get_alone) {
  constexpr unsigned kSessions = 4;
  for (const size_t experts : {0, 6}) {
    std::vector<std::vector<float>> alone(kSessions);
    for (unsigned i = 0; i < kSessions; ++i) alone[i] = converse(load(1, experts), i);
    for (const size_t threads : {2, 3, 5}) {
      if (experts != 0 && threads != 3) continue;
      const std::shared_ptr<gm::Model> model = load(threads, experts);
      std::vector<std::vector<float>> together(kSessions);
      std::vector<std::thread> callers;
      for (unsigned i = 0; i < kSessions; ++i)
        callers.emplace_back([&, i] { together[i] = converse(model, i); });
      for (std::thread& caller : callers) caller.join();
      for (unsigned i = 0; i < kSessions; ++i) CHECK(together[i] == alone[i]);
    }
  }
}

GM_TEST(two_threads_in_one_session_take_turns) {
  const std::shared_ptr<gm::Model> model = load(3);
  gm::SessionOptions options;
  options.context = 200;
  gm::Session session(model, options);
  const auto feed = [&] {
    for (int i = 0; i < 40; ++i) {
      const int32_t token[] = {i};
      session.forward(token);
      CHECK_EQ(session.candidates(2).ids.size(), 2u);
      CHECK(session.position() <= 80);
    }
  };
  std::thread other(feed);
  feed();
  other.join();
  CHECK_EQ(session.position(), 80u);
}

GM_TEST(a_model_is_loaded_while_another_runs) {
  const std::shared_ptr<gm::Model> model = load(2);
  std::thread loader([] { load(3); });
  const std::vector<float> while_loading = converse(model, 1);
  loader.join();
  CHECK(while_loading == converse(model, 1));
}

// Nothing of the text before is left, however many threads there are.
GM_TEST(an_encoder_begins_anew_with_every_text) {
  gm::SessionOptions options;
  options.context = gm::test::TinyEncoder::kPositions;
  for (const gm::Pool pool : {gm::Pool::Mean, gm::Pool::First, gm::Pool::Last}) {
    const gm::Plan plan = gm::test::TinyEncoder(kShape, pool).plan();
    const std::shared_ptr<gm::Model> one = load(1, plan);
    for (const size_t threads : {1, 3}) {
      gm::Session together(load(threads, plan), options);
      for (const size_t count : {90u, 3u, 40u, 1u, 96u}) {
        gm::Session alone(one, options);
        CHECK(encoded(together, count) == encoded(alone, count));
        CHECK_EQ(together.position(), count);
      }
      const int32_t token[] = {1}, type[] = {2};
      CHECK_THROWS(gm::ContextError, "Types of tokens are 0 to 1", together.forward(token, type));
      CHECK_THROWS(gm::UnsupportedError, "no logits", together.candidates(1));
    }
    gm::SessionOptions longer = options;
    longer.context = gm::test::TinyEncoder::kPositions + 1;
    CHECK_THROWS(gm::ContextError, "embeddings of 96 positions", gm::Session(one, longer));
  }
}
