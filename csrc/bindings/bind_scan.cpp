// SPDX-License-Identifier: MIT
// The scan of values behind `gristmill verify`.
#include <pybind11/pybind11.h>

#include <string>

#include "base/cpu_topology.h"
#include "base/thread_pool.h"
#include "bindings/bindings.h"
#include "gguf/value_scan.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

// None for a type without a decoder. A pool of its own: calls of several threads share nothing.
py::object scan(const gguf::File& file, const std::string& name, int64_t threads,
                const py::object& progress) {
  const gguf::TensorInfo* tensor = file.find(name);
  if (tensor == nullptr) {
    file.check();
    throw py::key_error(name);
  }
  gguf::ValueScan found;
  {
    const py::gil_scoped_release release;
    ThreadPool pool(threads == 0 ? default_threads().count : static_cast<size_t>(threads));
    found = gguf::scan_values(file, *tensor, pool, [&](uint64_t bytes) {
      const py::gil_scoped_acquire hold;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (!progress.is_none()) progress(bytes);
    });
  }
  if (!found.scanned) return py::none();
  return py::make_tuple(found.nans, found.infinities, found.first_bad, found.largest,
                        found.largest_at, found.typical);
}

}  // namespace

void bind_scan(py::module_& module) {
  module.def("scan_values", &scan, py::arg("file"), py::arg("name"), py::arg("threads") = 0,
             py::arg("progress") = py::none());
}

}  // namespace gm::bindings
