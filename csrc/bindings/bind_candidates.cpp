// SPDX-License-Identifier: MIT
// What sampling asks of a session's logits. A request comes with every token: plain lists are read
// without NumPy, and arrays are looked at where they lie.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "runtime/session.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

using Ids = py::array_t<int32_t, py::array::c_style>;
using Values = py::array_t<double, py::array::c_style>;
using Mask = py::array_t<uint32_t, py::array::c_style>;

size_t checked_count(int64_t n) {
  if (n < 0) {
    throw ContextError("[candidates] The number of candidates is at least 0. Got " +
                       std::to_string(n) + ".");
  }
  return static_cast<size_t>(n);
}

template <typename T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

// The values that a tuple of ids [m] and numbers [m] adds or subtracts; None is none.
std::vector<LogitEdit> to_edits(const py::object& object) {
  std::vector<LogitEdit> edits;
  if (object.is_none()) return edits;
  const auto pair = object.cast<py::tuple>();
  const auto ids = pair[0].cast<Ids>();
  const auto values = pair[1].cast<Values>();
  if (pair.size() != 2 || ids.size() != values.size())
    throw ContextError("[candidates] Edits are a pair of ids and as many numbers.");
  edits.reserve(static_cast<size_t>(ids.size()));
  for (py::ssize_t i = 0; i < ids.size(); ++i) edits.push_back({ids.data()[i], values.data()[i]});
  return edits;
}

py::tuple candidates(Session& session, int64_t n) {
  const size_t count = checked_count(n);
  Candidates best;
  {
    const py::gil_scoped_release release;
    best = session.candidates(count);
  }
  return py::make_tuple(to_array(best.ids), to_array(best.logits), best.logsumexp);
}

py::tuple edited_candidates(Session& session, int64_t n, const py::object& recent, double repeat,
                            double frequency, double presence, const py::object& bias,
                            const py::object& less, const py::object& mask, bool mass,
                            bool deviation) {
  const size_t count = checked_count(n);
  const std::vector<int32_t> tokens = to_tokens(recent);
  const std::vector<LogitEdit> added = to_edits(bias);
  const std::vector<LogitEdit> subtracted = to_edits(less);
  std::span<const uint32_t> allowed;
  Mask words;  // keeps the array alive
  if (!mask.is_none()) {
    words = mask.cast<Mask>();
    allowed = {words.data(), static_cast<size_t>(words.size())};
  }
  EditedCandidates best;
  {
    const py::gil_scoped_release release;
    const LogitChanges changes{added, tokens, repeat, frequency, presence, subtracted};
    best =
        session.candidates(count, changes, mask.is_none() ? nullptr : &allowed, {mass, deviation});
  }
  return py::make_tuple(to_array(best.ids), to_array(best.logits), to_array(best.raw),
                        best.edited_logsumexp, best.deviation, best.logsumexp);
}

}  // namespace

void bind_candidates(py::class_<Session, std::shared_ptr<Session>>& session) {
  session.def("candidates", &candidates, py::arg("n"))
      .def("edited_candidates", &edited_candidates, py::arg("n"), py::arg("recent") = py::tuple(),
           py::arg("repeat") = 1.0, py::arg("frequency") = 0.0, py::arg("presence") = 0.0,
           py::arg("bias") = py::none(), py::arg("less") = py::none(), py::arg("mask") = py::none(),
           py::arg("mass") = false, py::arg("deviation") = false);
}

}  // namespace gm::bindings
