// SPDX-License-Identifier: MIT
// Model and Session. Loading and forward release the GIL; a progress callback takes it back and may
// raise, which ends the load (that is how Ctrl-C stops one). Views keep their session alive.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/plan_from_dict.h"
#include "gguf/file.h"
#include "runtime/model.h"
#include "runtime/session.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

size_t checked_threads(int64_t threads) {
  if (threads < 0) {
    throw ResourceError("[model] The number of threads is at least 1, or 0 for the default. Got " +
                        std::to_string(threads) + ".");
  }
  return static_cast<size_t>(threads);
}

std::shared_ptr<Model> load(std::shared_ptr<gguf::File> file, const py::dict& dict, int64_t threads,
                            const std::string& isa, const py::object& progress,
                            const std::string& cache) {
  ModelOptions options;
  options.threads = checked_threads(threads);
  options.isa = isa;
  options.cache = cache;
  if (!progress.is_none()) {
    options.progress = [&progress](uint64_t done, uint64_t total) {
      const py::gil_scoped_acquire hold;
      progress(done, total);
    };
  }
  Plan plan = plan_from_dict(dict);
  const py::gil_scoped_release release;
  return std::make_shared<Model>(std::move(file), std::move(plan), options);
}

// The tokens of a list or tuple of plain integers that fit; nothing for anything else. A token of a
// text comes this way: NumPy would take longer than all the rest of the call.
bool plain_tokens(const py::object& object, std::vector<int32_t>* tokens) {
  if (!PyList_CheckExact(object.ptr()) && !PyTuple_CheckExact(object.ptr())) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(object.ptr());
  tokens->reserve(static_cast<size_t>(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(object.ptr(), i);
    int overflow = 0;
    const long long value =
        PyLong_CheckExact(item) ? PyLong_AsLongLongAndOverflow(item, &overflow) : -1;
    if (value < 0 || overflow != 0 || value > std::numeric_limits<int32_t>::max()) return false;
    tokens->push_back(static_cast<int32_t>(value));
  }
  return true;
}

}  // namespace

// What is not plain goes through NumPy and is range-checked.
std::vector<int32_t> to_tokens(const py::object& object) {
  if (std::vector<int32_t> plain; plain_tokens(object, &plain)) return plain;
  const auto array = py::array::ensure(object);
  if (!array || array.ndim() != 1) {
    PyErr_Clear();
    throw ContextError("[forward] Tokens are a one-dimensional array or list of integers.");
  }
  std::vector<int32_t> tokens(static_cast<size_t>(array.size()));
  if (tokens.empty()) return tokens;
  const char kind = array.dtype().kind();
  if (kind != 'i' && kind != 'u') {
    throw ContextError(std::string("[forward] Tokens are integers. Got an array of dtype ") +
                       py::str(array.dtype()).cast<std::string>() + ".");
  }
  // Unsigned 64-bit values above 2^63 become negative, which no token is.
  const auto wide = py::array_t<int64_t, py::array::c_style | py::array::forcecast>::ensure(array);
  if (!wide) throw py::error_already_set();
  const int64_t* values = wide.data();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int64_t value = values[i];
    const bool fits = value >= 0 && value <= std::numeric_limits<int32_t>::max();
    tokens[i] = fits ? static_cast<int32_t>(value) : -1;
    if (!fits) {
      throw ContextError("[forward] Tokens are ids of the vocabulary. Got " +
                         std::to_string(value) + " at index " + std::to_string(i) + ".");
    }
  }
  return tokens;
}

namespace {

void forward(Session& session, const py::object& object, const py::object& kinds) {
  const std::vector<int32_t> tokens = to_tokens(object);
  const std::vector<int32_t> types = kinds.is_none() ? std::vector<int32_t>() : to_tokens(kinds);
  const py::gil_scoped_release release;
  session.forward(tokens, types);
}

py::array_t<float> logits(const py::object& self) {
  const auto& session = self.cast<const Session&>();
  if (session.logits_rows() == 0) {
    throw ContextError("[logits] There are logits after the first forward. Got none yet.");
  }
  py::array_t<float> view({session.logits_rows(), session.output_width()}, session.logits(), self);
  py::detail::array_proxy(view.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return view;
}

KvType kv_type(const std::string& name) {
  std::string known;
  for (size_t i = 0; i < kKvTypeCount; ++i) {
    if (name == kKvTypeNames[i]) return static_cast<KvType>(i);
    known += (i == 0 ? "" : ", ") + std::string(kKvTypeNames[i]);
  }
  throw UnsupportedError("[kv cache] The types are " + known + ". Got \"" + name + "\".");
}

std::shared_ptr<Session> open_session(const std::shared_ptr<Model>& model, int64_t context,
                                      int64_t max_batch, bool all_logits, const std::string& kv,
                                      bool taps) {
  SessionOptions options = session_options(context, max_batch, all_logits, kv);
  options.taps = taps;
  const py::gil_scoped_release release;
  return std::make_shared<Session>(model, options);
}

// [(names of the weights, inputs [rows, K])] of the last forward, copied.
py::list taps(const Session& session) {
  py::list out;
  if (session.taps() == nullptr) return out;
  for (const Tap& tap : session.taps()->all()) {
    py::list names;
    for (const WeightId id : tap.op->weights) names.append(session.model().plan().weights[id].name);
    const auto rows = static_cast<py::ssize_t>(session.tap_rows(tap));
    py::array_t<float> values({rows, static_cast<py::ssize_t>(tap.K)}, tap.values);
    out.append(py::make_tuple(names, values));
  }
  return out;
}

py::dict memory_bytes(const Session& session) {
  py::dict out;
  out["kv_cache"] = session.cache_bytes();
  out["states"] = session.state_bytes();
  out["activations"] = session.buffers().activation_bytes();
  out["logits"] = session.buffers().logits_bytes();
  out["scratch"] = session.buffers().scratch_bytes();
  out["rope_tables"] = session.rope_bytes();
  return out;
}

// (state, path of the entry, why it was missed)
py::tuple cache_outcome(const Model& model) {
  constexpr const char* kStates[] = {"off", "hit", "compared", "miss"};
  const CacheOutcome& cache = model.weights().cache();
  return py::make_tuple(kStates[static_cast<size_t>(cache.state)], to_path(cache.path), cache.why);
}

void bind_model(py::module_& module) {
  py::class_<Model, std::shared_ptr<Model>>(
      module, "Model", "Packed weights and a validated plan. Shared by sessions; immutable.")
      .def(py::init(&load), py::arg("file"), py::arg("plan"), py::arg("threads") = 0,
           py::arg("isa") = "", py::arg("progress") = py::none(), py::arg("cache") = "")
      .def_property_readonly("threads", [](Model& m) { return m.pool().size(); })
      .def_property_readonly("isa", [](const Model& m) { return std::string(m.kernels().name); })
      .def_property_readonly("vocab_size", [](const Model& m) { return m.plan().vocab_size; })
      .def_property_readonly("weight_bytes",
                             [](const Model& m) { return m.weights().layout().bytes_per_token; })
      .def_property_readonly("panel_bytes",
                             [](const Model& m) { return m.weights().layout().panel_bytes; })
      .def_property_readonly("mapped_bytes",
                             [](const Model& m) { return m.weights().layout().mapped_bytes; })
      .def_property_readonly("cache", &cache_outcome)
      .def(
          "cache_writer",
          [](const Model& m) {
            const py::gil_scoped_release release;
            return m.weights().cache_writer();
          },
          py::keep_alive<0, 1>());
}

size_t checked_position(int64_t position) {
  if (position >= 0) return static_cast<size_t>(position);
  throw ContextError("[truncate] A position is at least 0. Got " + std::to_string(position) + ".");
}

void bind_session(py::module_& module) {
  py::class_<Session, std::shared_ptr<Session>> session(
      module, "Session", "A KV cache and the buffers of one sequence. forward releases the GIL.");
  session
      .def(py::init(&open_session), py::arg("model"), py::arg("context"),
           py::arg("max_batch") = 512, py::arg("all_logits") = false, py::arg("kv") = "f16",
           py::arg("taps") = false)
      .def_property_readonly("position", &Session::position)
      .def_property_readonly("context", &Session::context)
      .def_property_readonly("max_batch", &Session::max_batch)
      .def_property_readonly(
          "kv",
          [](const Session& s) { return std::string(kKvTypeNames[static_cast<size_t>(s.kv())]); })
      .def_property_readonly("memory_bytes", &memory_bytes)
      .def("forward", &forward, py::arg("tokens"), py::arg("types") = py::none())
      .def(
          "truncate",
          [](Session& session, int64_t position) {
            const size_t checked = checked_position(position);
            const py::gil_scoped_release release;
            session.truncate(checked);
          },
          py::arg("position"))
      .def(
          "reachable",
          [](Session& session, int64_t position) {
            const size_t checked = checked_position(position);
            const py::gil_scoped_release release;
            return session.reachable(checked);
          },
          py::arg("position"))
      .def("checkpoint", &Session::checkpoint, py::call_guard<py::gil_scoped_release>())
      .def("logits", &logits)
      .def("taps", &taps);
  bind_candidates(session);
}

}  // namespace

SessionOptions session_options(int64_t context, int64_t max_batch, bool all_logits,
                               const std::string& kv) {
  SessionOptions options;
  options.context = context < 0 ? 0 : static_cast<size_t>(context);
  options.max_batch = max_batch < 0 ? 0 : static_cast<size_t>(max_batch);
  options.all_logits = all_logits;
  options.kv = kv_type(kv);
  return options;
}

void bind_runtime(py::module_& module) {
  bind_model(module);
  bind_session(module);
}

}  // namespace gm::bindings
