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
#include "choices.h"
#include "kernels/dispatch.h"
#include "recurrent_changes.h"
#include "runtime/memory_plan.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "tiny_encoder.h"
#include "tiny_model.h"

namespace {

using gm::fuzz::ChangeRecurrentOp;
using gm::fuzz::Choices;

constexpr uint64_t kMostBytes = uint64_t{1} << 26;  // of a plan that is run
constexpr size_t kContext = 80;
struct ChangeOp : ChangeRecurrentOp {
  using ChangeRecurrentOp::operator();

  void operator()(gm::EmbedOp& o) const {
    if (c.below(3) == 0) o.scale = c.real();
    c.below(2) ? o.weight = c.id(o.weight) : o.out = c.id(o.out);
  }
  void operator()(gm::AddRowsOp& o) const {
    if (c.below(3) == 0) o.index = static_cast<gm::RowIndex>(c.below(2));
    c.below(2) ? o.weight = c.id(o.weight) : o.out = c.id(o.out);
  }
  void operator()(gm::LayerNormOp& o) const {
    switch (c.below(6)) {
      case 0:
        o.x = c.id(o.x);
        break;
      case 1:
        o.weight = c.id(o.weight);
        break;
      case 2:
        o.bias = c.below(2) ? gm::kNone : c.id(o.bias);
        break;
      case 3:
        o.eps = c.real();
        break;
      case 4:
        o.act = c.below(2) ? gm::kNone : c.id(o.act);
        break;
      default:
        o.out = c.below(2) ? gm::kNone : c.id(o.out);
    }
  }
  void operator()(gm::OutputOp& o) const { o.x = c.id(o.x); }
  void operator()(gm::RmsNormOp& o) const {
    switch (c.below(7)) {
      case 0:
        o.x = c.id(o.x);
        break;
      case 1:
        o.weight = c.id(o.weight);
        break;
      case 2:
        o.eps = c.real();
        break;
      case 3:
        o.act = c.id(o.act);
        break;
      case 4:
        o.heads = c.number(o.heads);
        break;
      case 5:
        o.accumulate = !o.accumulate;
        break;
      default:
        o.out = c.id(o.out);
    }
  }
  void operator()(gm::QuantizeOp& o) const { c.below(2) ? o.x = c.id(o.x) : o.act = c.id(o.act); }
  void operator()(gm::LinearOp& o) const {
    switch (c.below(7)) {
      case 0:
        o.act = c.id(o.act);
        break;
      case 1:
        if (!o.weights.empty()) {
          auto& w = o.weights[c.below(o.weights.size())];
          w = c.id(w);
        }
        break;
      case 2:
        if (!o.outs.empty()) {
          auto& b = o.outs[c.below(o.outs.size())];
          b = c.id(b);
        }
        break;
      case 3:
        o.accumulate = !o.accumulate;
        break;
      case 4:
        o.scale = c.real();
        break;
      case 5:
        (c.below(2) ? o.biases : o.factors).push_back(c.below(2) ? gm::kNone : c.byte());
        break;
      default:
        c.below(2) && !o.weights.empty()
            ? (o.weights.pop_back(), o.outs.pop_back())
            : (o.weights.push_back(c.byte()), o.outs.push_back(c.byte()));
    }
  }
  void operator()(gm::RopeStoreOp& o) const {
    switch (c.below(7)) {
      case 0:
        o.q = c.id(o.q);
        break;
      case 1:
        o.k = c.id(o.k);
        break;
      case 2:
        o.v = c.id(o.v);
        break;
      case 3:
        o.layer = c.id(o.layer);
        break;
      case 4:
        o.heads = c.number(o.heads);
        break;
      case 5:
        o.rope = c.below(2) ? gm::kNone : c.id(o.rope);
        break;
      default:
        o.neox = !o.neox;
    }
  }
  void operator()(gm::AttentionOp& o) const {
    switch (c.below(9)) {
      case 7:
        o.bidirectional = !o.bidirectional;
        break;
      case 8:
        o.sinks = c.id(o.sinks);
        break;
      case 0:
        o.q = c.id(o.q);
        break;
      case 1:
        o.out = c.id(o.out);
        break;
      case 2:
        o.layer = c.id(o.layer);
        break;
      case 3:
        o.heads = c.number(o.heads);
        break;
      case 4:
        o.scale = c.real();
        break;
      case 5:
        o.softcap = c.real();
        break;
      default:
        o.window = c.number(o.window);
    }
  }
  void operator()(gm::GluOp& o) const {
    switch (c.below(4)) {
      case 0:
        o.gate = c.id(o.gate);
        break;
      case 1:
        o.up = c.below(2) ? gm::kNone : c.id(o.up);
        break;
      case 2:
        o.activation = static_cast<gm::Activation>(c.below(gm::kActivationCount));
        break;
      default:
        o.act = c.id(o.act);
    }
  }
  void operator()(gm::RouteOp& o) const {
    switch (c.below(6)) {
      case 0:
        o.x = c.id(o.x);
        break;
      case 1:
        o.routes = c.id(o.routes);
        break;
      case 2:
        o.bias = c.id(o.bias);
        break;
      case 3:
        o.used = c.number(o.used);
        break;
      case 4:
        o.gating = static_cast<gm::Gating>(c.below(3));
        o.normalise = !o.normalise;
        break;
      default:
        o.scale = c.real();
    }
  }
  void operator()(gm::ExpertsOp& o) const {
    gm::BufferId* const buffers[] = {&o.act,   &o.routes, &o.out,    &o.pairs, &o.sorted,
                                     &o.gates, &o.ups,    &o.hidden, &o.rows};
    gm::BufferId& buffer = *buffers[c.below(std::size(buffers))];
    switch (c.below(5)) {
      case 0:
        if (!o.weights.empty()) {
          auto& w = o.weights[c.below(o.weights.size())];
          w = c.id(w);
        }
        break;
      case 1:
        o.biases.push_back(c.below(2) ? gm::kNone : c.byte());
        break;
      case 2:
        o.used = c.number(o.used);
        break;
      case 3:
        o.accumulate = !o.accumulate;
        o.activation = static_cast<gm::Activation>(c.below(gm::kActivationCount));
        break;
      default:
        buffer = c.id(buffer);
    }
  }
  void operator()(gm::SelectRowsOp& o) const {
    if (c.below(3) == 0) o.pool = static_cast<gm::Pool>(c.below(3));
    c.below(2) ? o.x = c.id(o.x) : o.out = c.id(o.out);
  }
  void operator()(gm::LogitsOp& o) const {
    if (c.below(3) == 0) (c.below(2) ? o.scale : o.softcap) = c.real();
    c.below(2) ? o.act = c.id(o.act) : o.weight = c.id(o.weight);
  }
};

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
