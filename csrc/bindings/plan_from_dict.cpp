// SPDX-License-Identifier: MIT
// Reads one record after another through a Record, which knows where it is for the messages.
// Unknown keys are errors too: a plan with a field that this core ignores would run something else.
#include "bindings/plan_from_dict.h"

#include <limits>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

constexpr uint64_t kVersion = 2;
constexpr uint64_t kMaxCount = std::numeric_limits<int64_t>::max();

[[noreturn]] void fail(const std::string& where, const std::string& rule) {
  throw FormatError("[plan" + (where.empty() ? "" : ", " + where) + "] " + rule);
}

std::string type_of(py::handle value) {
  return py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>();
}

// A non-negative integer; bool is none.
uint64_t to_count(py::handle value, const std::string& where, uint64_t limit = kMaxCount) {
  if (!PyLong_Check(value.ptr()) || PyBool_Check(value.ptr())) {
    fail(where, "A whole number is needed. Got " + type_of(value) + ".");
  }
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
  if (overflow != 0 || number < 0 || static_cast<uint64_t>(number) > limit) {
    fail(where, "The number is 0 to " + std::to_string(limit) + ". Got " +
                    py::str(value).cast<std::string>().substr(0, 40) + ".");
  }
  return static_cast<uint64_t>(number);
}

double to_real(py::handle value, const std::string& where) {
  if (!PyFloat_Check(value.ptr()) && !PyLong_Check(value.ptr())) {
    fail(where, "A number is needed. Got " + type_of(value) + ".");
  }
  const double number = PyFloat_AsDouble(value.ptr());
  if (number == -1.0 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    fail(where, "The number is too large.");
  }
  return number;
}

uint32_t to_id(py::handle value, const std::string& where) {
  return static_cast<uint32_t>(to_count(value, where, kNone - 1));
}

py::sequence to_list(py::handle value, const std::string& where) {
  if (!py::isinstance<py::list>(value) && !py::isinstance<py::tuple>(value)) {
    fail(where, "A list is needed. Got " + type_of(value) + ".");
  }
  return py::reinterpret_borrow<py::sequence>(value);
}

class Record {
 public:
  Record(py::handle value, std::string where) : where_(std::move(where)) {
    if (!py::isinstance<py::dict>(value)) {
      fail(where_, "A dict is needed. Got " + type_of(value) + ".");
    }
    dict_ = py::reinterpret_borrow<py::dict>(value);
  }

  py::handle get(const char* key) {
    if (!dict_.contains(key)) fail(where_, std::string("The key '") + key + "' is missing.");
    seen_.insert(key);
    return dict_[key].ptr();
  }
  uint64_t count(const char* key) { return to_count(get(key), at(key)); }
  uint32_t id(const char* key) { return to_id(get(key), at(key)); }
  uint32_t id_or_none(const char* key) {
    const py::handle value = get(key);
    return value.is_none() ? kNone : to_id(value, at(key));
  }
  bool flag(const char* key) {
    const py::handle value = get(key);
    if (!PyBool_Check(value.ptr())) fail(at(key), "True or False. Got " + type_of(value) + ".");
    return value.ptr() == Py_True;
  }
  double real(const char* key) { return to_real(get(key), at(key)); }
  std::string text(const char* key) {
    const py::handle value = get(key);
    if (!py::isinstance<py::str>(value)) {
      fail(at(key), "Text is needed. Got " + type_of(value) + ".");
    }
    const py::object bytes = py::reinterpret_steal<py::object>(
        PyUnicode_AsEncodedString(value.ptr(), "utf-8", "surrogateescape"));
    if (!bytes) throw py::error_already_set();
    return bytes.cast<std::string>();
  }
  // One of two words.
  bool is(const char* key, const char* yes, const char* no) {
    const std::string word = text(key);
    if (word != yes && word != no) {
      fail(at(key), std::string("One of '") + yes + "' and '" + no + "'. Got '" + word + "'.");
    }
    return word == yes;
  }
  // The index of one of the words.
  template <size_t n>
  size_t choice(const char* key, const char* const (&words)[n]) {
    const std::string word = text(key);
    std::string known;
    for (size_t i = 0; i < n; ++i) {
      if (word == words[i]) return i;
      known += (i == 0 ? "'" : ", '") + std::string(words[i]) + "'";
    }
    fail(at(key), "One of " + known + ". Got '" + word + "'.");
  }
  std::vector<uint32_t> ids(const char* key) {
    std::vector<uint32_t> out;
    for (const py::handle item : to_list(get(key), at(key))) out.push_back(to_id(item, at(key)));
    return out;
  }
  std::vector<uint32_t> ids_or_none(const char* key) {
    std::vector<uint32_t> out;
    for (const py::handle item : to_list(get(key), at(key)))
      out.push_back(item.is_none() ? kNone : to_id(item, at(key)));
    return out;
  }
  std::vector<double> reals(const char* key) {
    std::vector<double> out;
    for (const py::handle item : to_list(get(key), at(key))) out.push_back(to_real(item, at(key)));
    return out;
  }
  // f(record) for each dict of a list.
  template <class F>
  void each(const char* key, F&& f) {
    size_t i = 0;
    for (const py::handle item : to_list(get(key), at(key))) {
      Record record(item, at(key) + "[" + std::to_string(i++) + "]");
      f(record);
      record.finish();
    }
  }
  std::string at(const char* key) const { return where_.empty() ? key : where_ + "." + key; }
  const std::string& where() const { return where_; }

  // Every key was read.
  void finish() const {
    for (const auto& item : dict_) {
      const std::string key = py::str(item.first).cast<std::string>();
      if (seen_.count(key) == 0) fail(where_, "The key '" + key + "' is unknown.");
    }
  }

 private:
  py::dict dict_;
  std::string where_;
  std::set<std::string> seen_;
};

Activation read_activation(Record& r) {
  return static_cast<Activation>(r.choice(
      "activation", {"silu", "gelu_tanh", "gelu", "tanh", "swiglu_oai", "sigmoid", "none"}));
}

Op read_recurrent_op(Record& r, const std::string& name) {
  if (name == "short_conv") {
    return ShortConvOp{r.id("x"),      r.id_or_none("gate"), r.id("out"),
                       r.id("weight"), r.id_or_none("bias"), r.id("state"),
                       r.flag("silu")};
  }
  if (name == "delta_rule") {
    return DeltaRuleOp{r.id("qkv"),        r.id("alpha"),        r.id("beta"),
                       r.id("out"),        r.id("rate"),         r.id("shift"),
                       r.id("state"),      r.count("key_heads"), r.count("heads"),
                       r.count("key_dim"), r.count("value_dim"), r.real("eps")};
  }
  if (name == "split_heads")
    return SplitHeadsOp{r.id("x"), r.id("first"), r.id("second"), r.count("heads")};
  fail(r.where(), "There is no operation '" + name + "'.");
}

// What encoders have beyond decoders.
Op read_encoder_op(Record& r, const std::string& name) {
  if (name == "add_rows") {
    return AddRowsOp{r.id("weight"), r.id("out"),
                     r.is("index", "type", "position") ? RowIndex::Type : RowIndex::Position};
  }
  if (name == "layer_norm") {
    return LayerNormOp{r.id("x"),     r.id("weight"),      r.id_or_none("bias"),
                       r.real("eps"), r.id_or_none("act"), r.id_or_none("out")};
  }
  if (name == "output") return OutputOp{r.id("x")};
  return read_recurrent_op(r, name);
}

Op read_route(Record& r) {
  RouteOp op{};
  op.x = r.id("x");
  op.routes = r.id("routes");
  op.bias = r.id_or_none("bias");
  op.used = r.count("used");
  op.gating = static_cast<Gating>(r.choice("gating", {"softmax", "sigmoid", "chosen_softmax"}));
  op.normalise = r.flag("normalise");
  op.scale = r.real("scale");
  return op;
}

Op read_experts(Record& r) {
  return ExpertsOp{r.id("act"),
                   r.id("routes"),
                   r.id("out"),
                   r.ids("weights"),
                   r.ids_or_none("biases"),
                   r.count("used"),
                   read_activation(r),
                   r.flag("accumulate"),
                   r.id("pairs"),
                   r.id("sorted"),
                   r.id("gates"),
                   r.id("ups"),
                   r.id("hidden"),
                   r.id("rows")};
}

Op read_op(Record& r) {
  const std::string name = r.text("op");
  if (name == "embed") return EmbedOp{r.id("weight"), r.id("out"), r.real("scale")};
  if (name == "rms_norm") {
    return RmsNormOp{r.id("x"),           r.id("weight"),      r.real("eps"),
                     r.id_or_none("act"), r.id_or_none("out"), r.count("heads"),
                     r.flag("accumulate")};
  }
  if (name == "quantize") return QuantizeOp{r.id("x"), r.id("act")};
  if (name == "linear") {
    return LinearOp{r.id("act"),
                    r.ids("weights"),
                    r.ids("outs"),
                    r.flag("accumulate"),
                    r.ids_or_none("biases"),
                    r.real("scale"),
                    r.ids_or_none("factors")};
  }
  if (name == "rope_store") {
    return RopeStoreOp{r.id("q"),     r.id("k"),        r.id("v"),
                       r.id("layer"), r.count("heads"), r.id_or_none("rope"),
                       r.flag("neox")};
  }
  if (name == "attention") {
    return AttentionOp{r.id("q"),
                       r.id("out"),
                       r.id("layer"),
                       r.count("heads"),
                       r.real("scale"),
                       r.count("window"),
                       r.real("softcap"),
                       r.flag("bidirectional"),
                       r.id_or_none("sinks")};
  }
  if (name == "glu") {
    return GluOp{r.id("gate"), r.id_or_none("up"), r.id("act"), read_activation(r)};
  }
  if (name == "route") return read_route(r);
  if (name == "experts") return read_experts(r);
  if (name == "select_rows") {
    return SelectRowsOp{r.id("x"), r.id("out"),
                        static_cast<Pool>(r.choice("pool", {"last", "first", "mean"}))};
  }
  if (name == "logits")
    return LogitsOp{r.id("act"), r.id("weight"), r.real("scale"), r.real("softcap")};
  return read_encoder_op(r, name);
}

}  // namespace

Plan plan_from_dict(const py::dict& dict) {
  Plan plan;
  Record root(dict, "");
  const uint64_t version = root.count("version");
  if (version != kVersion) {
    fail("version", "This core runs plans of version " + std::to_string(kVersion) + ". Got " +
                        std::to_string(version) + ".");
  }
  plan.vocab_size = root.count("vocab_size");
  root.each("layers",
            [&](Record& r) { plan.layers.push_back({r.count("kv_heads"), r.count("head_dim")}); });
  root.each("states", [&](Record& r) { plan.states.push_back({r.count("values")}); });
  root.each("buffers", [&](Record& r) {
    plan.buffers.push_back(
        {r.is("kind", "act", "f32") ? BufferKind::Act : BufferKind::F32,
         r.is("rows", "logits", "batch") ? BufferRows::Logits : BufferRows::Batch, r.count("width"),
         r.id("slot")});
  });
  root.each("weights", [&](Record& r) {
    WeightSpec weight{r.text("name"), {}};
    for (const py::handle n : to_list(r.get("shape"), r.at("shape"))) {
      weight.shape.push_back(to_count(n, r.at("shape")));
    }
    weight.first_row = r.count("first_row");
    weight.of_rows = r.count("of_rows");
    weight.experts = r.count("experts");
    plan.weights.push_back(std::move(weight));
  });
  root.each("ropes", [&](Record& r) {
    plan.ropes.push_back({r.real("freq_base"), r.real("scale"), r.count("n_rot"),
                          r.id_or_none("factors"), r.id_or_none("long_factors"),
                          r.count("long_from"), r.reals("scales"), r.real("magnitude"),
                          r.real("query_slope"), r.count("query_length")});
  });
  root.each("ops", [&](Record& r) { plan.ops.push_back(read_op(r)); });
  root.finish();
  return plan;
}

}  // namespace gm::bindings
