// SPDX-License-Identifier: MIT
// The searches of the quantizer: matrices to blocks, to the parts of blocks, and parts to blocks.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "kernels/dispatch.h"
#include "quantize/quantize.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

constexpr py::ssize_t kGroups = 16;  // of BlockParts

std::string text(size_t value) { return std::to_string(value); }

TypeInfo searched_type(const std::string& name) {
  const TypeInfo info = supported_type(name);
  if (pack_block(info.format) == nullptr)
    throw UnsupportedError("[quantize] there is no search for type " + std::string(info.name) +
                           ".");
  return info;
}

// Throws ShapeError unless there is a weight for each of K columns, finite and at least 0.
const float* checked_weights(const std::optional<Array<float>>& weights, size_t K) {
  if (!weights) return nullptr;
  if (weights->ndim() != 1 || static_cast<size_t>(weights->size()) != K)
    throw ShapeError("[quantize] there is one weight per column, " + text(K) + ". Got " +
                     std::to_string(weights->size()) + ".");
  const float* values = weights->data();
  for (size_t k = 0; k < K; ++k) {
    if (std::isfinite(values[k]) && values[k] >= 0.0f) continue;
    throw ShapeError("[quantize] weights are finite and at least 0. Got " +
                     std::to_string(values[k]) + " for column " + text(k) + ".");
  }
  return values;
}

QuantizeJob checked_job(const TypeInfo& info, const Array<float>& values,
                        const std::optional<Array<float>>& weights) {
  if (values.ndim() != 2 || values.shape(1) % info.block_values != 0)
    throw ShapeError("[quantize] rows of " + std::string(info.name) + " are multiples of " +
                     text(info.block_values) + " values, in a matrix.");
  QuantizeJob job{};
  job.format = info.format;
  job.values = values.data();
  job.rows = static_cast<size_t>(values.shape(0));
  job.K = static_cast<size_t>(values.shape(1));
  if (!all_finite(job.values, job.rows * job.K))
    throw ShapeError("[quantize] block formats hold finite values only. Got NaN or infinity.");
  job.weights = checked_weights(weights, job.K);
  return job;
}

const KernelTable& kernels_of(const std::string& isa) {
  return isa.empty() ? default_kernels() : kernels_for(isa);
}

size_t checked_threads(size_t threads) {
  return std::clamp<size_t>(threads, 1, ThreadPool::kMaxThreads);
}

py::array_t<uint8_t> quantize(const std::string& name, const Array<float>& values,
                              const std::optional<Array<float>>& weights, size_t threads,
                              const std::string& isa) {
  const TypeInfo info = searched_type(name);
  const QuantizeJob job = checked_job(info, values, weights);
  const KernelTable& kernels = kernels_of(isa);
  py::array_t<uint8_t> out(
      static_cast<py::ssize_t>(job.rows * (job.K / info.block_values) * info.block_bytes));
  uint8_t* blocks = out.mutable_data();
  const py::gil_scoped_release release;
  ThreadPool pool(checked_threads(threads));
  quantize_rows(kernels, pool, job, blocks);
  return out;
}

py::tuple fit(const std::string& name, const Array<float>& values,
              const std::optional<Array<float>>& weights, size_t threads, const std::string& isa) {
  const TypeInfo info = searched_type(name);
  const QuantizeJob job = checked_job(info, values, weights);
  const KernelTable& kernels = kernels_of(isa);
  std::vector<BlockParts> parts(job.rows * (job.K / info.block_values));
  {
    const py::gil_scoped_release release;
    ThreadPool pool(checked_threads(threads));
    fit_rows(kernels, pool, job, parts.data());
  }
  const auto blocks = static_cast<py::ssize_t>(parts.size());
  py::array_t<float> d(blocks), m(blocks);
  py::array_t<int32_t> scales({blocks, kGroups}), mins({blocks, kGroups});
  py::array_t<uint8_t> codes({blocks, static_cast<py::ssize_t>(info.block_values)});
  for (size_t b = 0; b < parts.size(); ++b) {
    const BlockParts& part = parts[b];
    d.mutable_data()[b] = part.d;
    m.mutable_data()[b] = part.m;
    std::copy_n(part.scales, kGroups, scales.mutable_data() + b * kGroups);
    std::copy_n(part.mins, kGroups, mins.mutable_data() + b * kGroups);
    std::copy_n(part.codes, info.block_values, codes.mutable_data() + b * info.block_values);
  }
  return py::make_tuple(d, m, scales, mins, codes);
}

py::array_t<uint8_t> pack(const std::string& name, const Array<float>& d, const Array<float>& m,
                          const Array<int32_t>& scales, const Array<int32_t>& mins,
                          const Array<uint8_t>& codes) {
  const TypeInfo info = searched_type(name);
  const py::ssize_t blocks = d.size();
  if (d.ndim() != 1 || m.ndim() != 1 || m.size() != blocks || scales.ndim() != 2 ||
      mins.ndim() != 2 || codes.ndim() != 2 || scales.shape(0) != blocks ||
      scales.shape(1) != kGroups || mins.shape(0) != blocks || mins.shape(1) != kGroups ||
      codes.shape(0) != blocks || codes.shape(1) != static_cast<py::ssize_t>(info.block_values))
    throw ShapeError("[quantize] parts are d [n], m [n], scales and mins [n, 16], codes [n, " +
                     text(info.block_values) + "].");
  py::array_t<uint8_t> out(blocks * static_cast<py::ssize_t>(info.block_bytes));
  const PackBlock put = pack_block(info.format);
  for (py::ssize_t b = 0; b < blocks; ++b) {
    BlockParts part;
    part.d = d.data()[b];
    part.m = m.data()[b];
    std::copy_n(scales.data() + b * kGroups, kGroups, part.scales);
    std::copy_n(mins.data() + b * kGroups, kGroups, part.mins);
    std::copy_n(codes.data() + b * info.block_values, info.block_values, part.codes);
    put(part, out.mutable_data() + b * info.block_bytes);
  }
  return out;
}

}  // namespace

void bind_quantize(py::module_& module) {
  module.def("quantize", &quantize, py::arg("type_name"), py::arg("values"),
             py::arg("weights") = py::none(), py::arg("threads") = 1, py::arg("isa") = "");
  module.def("fit", &fit, py::arg("type_name"), py::arg("values"), py::arg("weights") = py::none(),
             py::arg("threads") = 1, py::arg("isa") = "");
  module.def("pack", &pack, py::arg("type_name"), py::arg("d"), py::arg("m"), py::arg("scales"),
             py::arg("mins"), py::arg("codes"));
}

}  // namespace gm::bindings
