// SPDX-License-Identifier: MIT
// A small good plan, changed in places that the input chooses. Whatever validation lets pass is
// loaded and run: what it promises is that a plan that passes cannot leave its buffers.
#include <array>
#include <iterator>
#include <limits>
#include <memory>
#include <span>
#include <string>

#include <unistd.h>

#include "base/error.h"
#include "changes.h"
#include "choices.h"
#include "kernels/dispatch.h"
#include "runtime/memory_plan.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "tiny_encoder.h"
#include "tiny_model.h"

namespace {

using gm::fuzz::ChangeOp;
using gm::fuzz::Choices;

constexpr uint64_t kMostBytes = uint64_t{1} << 26;  // of a plan that is run
constexpr size_t kContext = 80;
void change_rope(gm::RopeSpec& rope, Choices& c) {
  switch (c.below(9)) {
    case 0:
      rope.n_rot = c.number(rope.n_rot);
      break;
    case 1:
      rope.factors = c.id(rope.factors);
      break;
    case 2:
      rope.scale = c.real();
      break;
    case 3:
      rope.magnitude = c.real();
      break;
    case 4:
      rope.scales.assign(c.below(2) ? rope.n_rot % 4096 / 2 : c.byte(), c.real());
      break;
    case 5:
      rope.query_slope = c.real();
      break;
    case 6:
      rope.query_length = c.number(rope.query_length);
      break;
    case 7:
      rope.long_factors = c.id(rope.long_factors);
      break;
    default:
      rope.freq_base = c.real();
  }
}

void change_tables(gm::Plan& plan, Choices& c) {
  gm::BufferSpec& buffer = plan.buffers[c.below(plan.buffers.size())];
  gm::WeightSpec& weight = plan.weights[c.below(plan.weights.size())];
  switch (c.below(11)) {
    case 0:
      buffer.width = c.number(buffer.width);
      break;
    case 1:
      buffer.slot = c.id(buffer.slot);
      break;
    case 2:
      buffer.kind = static_cast<gm::BufferKind>(c.below(2));
      break;
    case 3:
      buffer.rows = static_cast<gm::BufferRows>(c.below(2));
      break;
    case 4:
      weight.name = plan.weights[c.below(plan.weights.size())].name;
      break;
    case 5:
      if (!weight.shape.empty()) {
        auto& n = weight.shape[c.below(weight.shape.size())];
        n = c.number(n);
      }
      break;
    case 6:
      plan.vocab_size = c.number(plan.vocab_size);
      break;
    case 7: {
      auto& kv = plan.layers[c.below(plan.layers.size())];
      (c.below(2) ? kv.heads : kv.head_dim) = c.number(kv.heads);
      break;
    }
    case 8:
      (c.below(2) ? weight.first_row : weight.of_rows) = c.number(weight.shape[0]);
      break;
    case 9:
      weight.experts = c.number(weight.experts);
      break;
    case 10: {
      if (plan.states.empty()) break;
      auto& state = plan.states[c.below(plan.states.size())];
      state.values = c.number(state.values);
      break;
    }
    default:
      change_rope(plan.ropes[0], c);
  }
}

void change(gm::Plan& plan, Choices& c) {
  std::vector<gm::Op>& ops = plan.ops;
  switch (c.below(8)) {
    case 0:
      if (ops.size() > 1) ops.erase(ops.begin() + static_cast<ptrdiff_t>(c.below(ops.size())));
      break;
    case 1: {
      const gm::Op copy = ops[c.below(ops.size())];
      ops.insert(ops.begin() + static_cast<ptrdiff_t>(c.below(ops.size())), copy);
      break;
    }
    case 2:
      std::swap(ops[c.below(ops.size())], ops[c.below(ops.size())]);
      break;
    case 3:
    case 4:
      change_tables(plan, c);
      break;
    default:
      std::visit(ChangeOp{{c}}, ops[c.below(ops.size())]);
  }
}

void run(std::shared_ptr<const gm::gguf::File> file, const gm::Plan& plan, size_t threads) {
  gm::SessionOptions options;
  options.context = kContext;
  options.max_batch = 5;
  options.all_logits = threads == 2;
  options.kv = static_cast<gm::KvType>(plan.ops.size() % 3);
  const gm::MemoryPlan memory(file, plan, gm::kernels_for("scalar"), threads);
  const gm::MemoryBytes bytes = memory.bytes(options);
  if (bytes.panels + bytes.vectors + bytes.kv_cache + bytes.states + bytes.activations +
          bytes.logits + bytes.scratch + bytes.rope_tables >
      kMostBytes)
    return;
  gm::ModelOptions how;
  how.threads = threads;
  how.isa = "scalar";
  const auto model = std::make_shared<gm::Model>(std::move(file), plan, how);
  gm::Session session(model, options);
  const std::array<int32_t, 5> tokens = {0, static_cast<int32_t>(plan.vocab_size - 1), 0, 0, 0};
  const std::array<int32_t, 5> types = {0, 0, 1, 1, 1};
  session.forward(tokens);
  session.forward(tokens, types);
  if (!gm::traits_of(plan).logits) return;
  session.candidates(3);
  session.checkpoint();
  session.forward(std::span(tokens).first(2));
  session.truncate(session.reachable(6));
  session.forward(std::span(tokens).first(1));
}

// A plan, and a file with its weights.
struct Subject {
  gm::Plan plan;
  std::shared_ptr<const gm::gguf::File> file;

  explicit Subject(const gm::Plan& good) : plan(good) {
    static int count = 0;
    const std::string path =
        "/tmp/gm_plan_fuzz_" + std::to_string(getpid()) + "_" + std::to_string(count++) + ".gguf";
    gm::test::write_weights(path, plan, gm::Format::Q8_0);
    file = gm::gguf::File::open(path);
    if (unlink(path.c_str()) != 0) __builtin_trap();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Subject decoder([] {
    gm::test::TinyShape shape;
    shape.experts = 5;
    return gm::test::TinyPlan(shape).plan();
  }());
  static const Subject encoder(gm::test::TinyEncoder({}).plan());
  static const Subject hybrid([] {
    gm::test::TinyShape shape;
    shape.layers = 1;
    shape.recurrent = true;
    return gm::test::TinyPlan(shape).plan();
  }());
  Choices choices(data, size);
  const size_t first = choices.byte();
  const size_t threads = first % 16 == 15 ? 2 : 1;
  const Subject& subject = first < 86 ? decoder : first < 171 ? encoder : hybrid;
  gm::Plan plan = subject.plan;
  for (int i = 0; i < 12 && !choices.empty(); ++i) change(plan, choices);
  try {
    run(subject.file, plan, threads);
  } catch (const gm::Error&) {
  }
  return 0;
}
