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

std::shared_ptr<Model> load(std::shared_ptr<gguf::File> file, const py::dict& dict, int64_t threads,
                            const std::string& isa, const py::object& progress) {
  if (threads < 0) {
    throw ResourceError("[model] The number of threads is at least 1, or 0 for the default. Got " +
                        std::to_string(threads) + ".");
  }
  ModelOptions options;
  options.threads = static_cast<size_t>(threads);
  options.isa = isa;
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

// A sequence or array of integers; int32 arrays are copied, everything else is range-checked.
std::vector<int32_t> to_tokens(const py::object& object) {
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

void forward(Session& session, const py::object& object) {
  const std::vector<int32_t> tokens = to_tokens(object);
  const py::gil_scoped_release release;
  session.forward(tokens);
}

py::array_t<float> logits(const py::object& self) {
  const auto& session = self.cast<const Session&>();
  if (session.logits_rows() == 0) {
    throw ContextError("[logits] There are logits after the first forward. Got none yet.");
  }
  py::array_t<float> view({session.logits_rows(), session.model().plan().vocab_size},
                          session.logits(), self);
  view.attr("setflags")(py::arg("write") = false);
  return view;
}

py::tuple candidates(Session& session, int64_t n) {
  if (n < 0) {
    throw ContextError("[candidates] The number of candidates is at least 0. Got " +
                       std::to_string(n) + ".");
  }
  Candidates best;
  {
    const py::gil_scoped_release release;
    best = session.candidates(static_cast<size_t>(n));
  }
  const auto count = static_cast<py::ssize_t>(best.ids.size());
  return py::make_tuple(py::array_t<int32_t>(count, best.ids.data()),
                        py::array_t<float>(count, best.logits.data()), best.logsumexp);
}

std::shared_ptr<Session> open_session(const std::shared_ptr<Model>& model, int64_t context,
                                      int64_t max_batch, bool all_logits) {
  SessionOptions options;
  options.context = context < 0 ? 0 : static_cast<size_t>(context);
  options.max_batch = max_batch < 0 ? 0 : static_cast<size_t>(max_batch);
  options.all_logits = all_logits;
  const py::gil_scoped_release release;
  return std::make_shared<Session>(model, options);
}

py::dict memory_bytes(const Session& session) {
  py::dict out;
  out["kv_cache"] = session.cache_bytes();
  out["arena"] = session.arena_bytes();
  out["rope_tables"] = session.rope_bytes();
  return out;
}

void bind_model(py::module_& module) {
  py::class_<Model, std::shared_ptr<Model>>(
      module, "Model", "Packed weights and a validated plan. Shared by sessions; immutable.")
      .def(py::init(&load), py::arg("file"), py::arg("plan"), py::arg("threads") = 0,
           py::arg("isa") = "", py::arg("progress") = py::none())
      .def_property_readonly("threads", [](Model& m) { return m.pool().size(); })
      .def_property_readonly("isa", [](const Model& m) { return std::string(m.kernels().name); })
      .def_property_readonly("vocab_size", [](const Model& m) { return m.plan().vocab_size; })
      .def_property_readonly("weight_bytes",
                             [](const Model& m) { return m.weights().bytes_per_token(); })
      .def_property_readonly("panel_bytes",
                             [](const Model& m) { return m.weights().panel_bytes(); })
      .def_property_readonly("mapped_bytes",
                             [](const Model& m) { return m.weights().mapped_bytes(); });
}

void bind_session(py::module_& module) {
  py::class_<Session, std::shared_ptr<Session>>(
      module, "Session", "A KV cache and the buffers of one sequence. forward releases the GIL.")
      .def(py::init(&open_session), py::arg("model"), py::arg("context"),
           py::arg("max_batch") = 512, py::arg("all_logits") = false)
      .def_property_readonly("position", &Session::position)
      .def_property_readonly("context", &Session::context)
      .def_property_readonly("max_batch", &Session::max_batch)
      .def_property_readonly("memory_bytes", &memory_bytes)
      .def("forward", &forward, py::arg("tokens"))
      .def(
          "truncate",
          [](Session& session, int64_t position) {
            if (position < 0) {
              throw ContextError("[truncate] A position is at least 0. Got " +
                                 std::to_string(position) + ".");
            }
            const py::gil_scoped_release release;
            session.truncate(static_cast<size_t>(position));
          },
          py::arg("position"))
      .def("logits", &logits)
      .def("candidates", &candidates, py::arg("n"));
}

}  // namespace

void bind_runtime(py::module_& module) {
  bind_model(module);
  bind_session(module);
}

}  // namespace gm::bindings
