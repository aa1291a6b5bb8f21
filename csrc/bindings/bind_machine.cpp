// SPDX-License-Identifier: MIT
// What the machine is and can do: ISA levels, threads, measured peaks.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/cpu_topology.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "bindings/bindings.h"
#include "kernels/dispatch.h"
#include "panels/panel.h"
#include "runtime/linear_bench.h"
#include "runtime/roofline.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

constexpr size_t kMaxMegabytes = 16384;

size_t checked_threads(py::ssize_t threads) {
  if (threads < 1 || static_cast<size_t>(threads) > ThreadPool::kMaxThreads)
    throw ResourceError("[threads] a measurement runs on 1 to " +
                        std::to_string(ThreadPool::kMaxThreads) + " threads. Got " +
                        std::to_string(threads) + ".");
  return static_cast<size_t>(threads);
}

double bandwidth(py::ssize_t threads, py::ssize_t megabytes) {
  if (megabytes < 1 || static_cast<size_t>(megabytes) > kMaxMegabytes)
    throw ResourceError("[bandwidth] the buffer has 1 to " + std::to_string(kMaxMegabytes) +
                        " megabytes. Got " + std::to_string(megabytes) + ".");
  const size_t count = checked_threads(threads);
  const py::gil_scoped_release release;
  return measure_bandwidth(default_kernels(), count, static_cast<size_t>(megabytes) << 20);
}

using Measure = double (*)(const KernelTable&, size_t threads);

template <Measure measure>
double peak(py::ssize_t threads, const std::string& isa) {
  const size_t count = checked_threads(threads);
  const py::gil_scoped_release release;
  return measure(isa.empty() ? default_kernels() : kernels_for(isa), count);
}

Format with_kernel(const std::string& name) {
  const TypeInfo type = type_info(name);
  if (type.status != TypeStatus::Supported)
    throw UnsupportedError("[linear bench] There is no kernel for the format " + name + ".");
  return type.format;
}

// A panel of 16 rows of 256 values, which are whole blocks of every format.
double packed_bytes_per_value(const std::string& format) {
  constexpr size_t kValues = 256;
  return static_cast<double>(panel_bytes(with_kernel(format), kValues)) / (kPanelRows * kValues);
}

std::vector<double> linear_bench(const std::string& format, size_t rows, size_t K, size_t T,
                                 const std::string& isa, py::ssize_t threads, size_t passes) {
  const LinearBench bench{with_kernel(format), rows, K, T, checked_threads(threads), passes};
  const py::gil_scoped_release release;
  return bench_linear(isa.empty() ? default_kernels() : kernels_for(isa), bench);
}

py::dict topology() {
  const CpuTopology found = cpu_topology();
  py::dict out;
  out["cpus"] = found.cpus;
  out["online"] = found.online;
  out["sockets"] = found.sockets;
  out["cores"] = found.cores;
  out["performance_cores"] = found.performance_cores;
  out["threads_per_core"] = found.threads_per_core;
  out["quota"] = found.quota;
  return out;
}

}  // namespace

void bind_machine(py::module_& module) {
  module.def("available_isas", [] { return available_isas(); });
  module.def("default_isa", [] { return std::string(default_kernels().name); });
  module.def("cpu_name", &cpu_name);
  module.def("default_threads", [] {
    const ThreadAdvice advice = default_threads();
    return py::make_tuple(advice.count, advice.why);
  });
  module.def("cpu_topology", &topology);
  module.def("measure_bandwidth", &bandwidth, py::arg("threads"), py::arg("megabytes") = 512);
  module.def("measure_int8_peak", &peak<measure_int8_peak>, py::arg("threads"),
             py::arg("isa") = "");
  module.def("measure_float_peak", &peak<measure_float_peak>, py::arg("threads"),
             py::arg("isa") = "");
  module.def("packed_bytes_per_value", &packed_bytes_per_value, py::arg("format"));
  module.def("bench_linear", &linear_bench, py::arg("format"), py::arg("rows"), py::arg("K"),
             py::arg("T"), py::arg("isa") = "", py::arg("threads") = 1, py::arg("passes") = 10);
}

}  // namespace gm::bindings
