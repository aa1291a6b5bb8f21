// SPDX-License-Identifier: MIT
// What a model will take before it is loaded, and the entries of the panel cache. Disk access
// releases the GIL.
#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "base/cpu_topology.h"
#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/plan_from_dict.h"
#include "kernels/dispatch.h"
#include "panels/panel_cache.h"
#include "runtime/memory_plan.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

std::unique_ptr<MemoryPlan> make_plan(std::shared_ptr<gguf::File> file, const py::dict& dict,
                                      int64_t threads, const std::string& isa) {
  if (threads < 0)
    throw ResourceError("[model] The number of threads is at least 1, or 0 for the default.");
  const size_t count = threads == 0 ? default_threads().count : static_cast<size_t>(threads);
  return std::make_unique<MemoryPlan>(std::move(file), plan_from_dict(dict),
                                      isa.empty() ? default_kernels() : kernels_for(isa), count);
}

py::dict plan_bytes(const MemoryPlan& plan, int64_t context, int64_t max_batch, bool all_logits,
                    const std::string& kv) {
  const MemoryBytes bytes = plan.bytes(session_options(context, max_batch, all_logits, kv));
  py::dict out;
  out["panels"] = bytes.panels;
  out["mapped"] = bytes.mapped_rows;
  out["vectors"] = bytes.vectors;
  out["kv_cache"] = bytes.kv_cache;
  out["states"] = bytes.states;
  out["activations"] = bytes.activations;
  out["logits"] = bytes.logits;
  out["scratch"] = bytes.scratch;
  out["rope_tables"] = bytes.rope_tables;
  out["loading"] = bytes.loading;
  return out;
}

// (path of the model, bytes of the file); ResourceError for what is no whole entry.
py::tuple cache_info(const std::string& path) {
  std::string why;
  const std::unique_ptr<PanelCacheEntry> entry = PanelCacheEntry::open(path, &why);
  if (entry == nullptr) throw ResourceError("[" + path + "] " + why + ".");
  return py::make_tuple(to_path(entry->info().model), entry->info().file_bytes);
}

}  // namespace

void bind_memory(py::module_& module) {
  py::class_<MemoryPlan>(module, "MemoryPlan", "Bytes of a model and a session, from a header.")
      .def(py::init(&make_plan), py::arg("file"), py::arg("plan"), py::arg("threads") = 0,
           py::arg("isa") = "")
      .def("bytes", &plan_bytes, py::arg("context"), py::arg("max_batch") = 512,
           py::arg("all_logits") = false, py::arg("kv") = "f16")
      .def_property_readonly("weight_bytes", &MemoryPlan::bytes_per_token);

  const auto free = py::call_guard<py::gil_scoped_release>();
  py::class_<PanelCacheWriter>(module, "PanelCacheWriter", "A cache entry that is being written.")
      .def("step", &PanelCacheWriter::step, free)
      .def("commit", &PanelCacheWriter::commit, free)
      .def("abort", &PanelCacheWriter::abort, free);
  module.def("panel_cache_info", &cache_info, py::arg("path"));
}

}  // namespace gm::bindings
