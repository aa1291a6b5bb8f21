// SPDX-License-Identifier: MIT
// Tensor types and their reference conversions: what tests, the quantizer and gguf.py build on.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "formats/format.h"

namespace py = pybind11;

namespace gm::bindings {

TypeInfo supported_type(const std::string& name) {
  const TypeInfo info = type_info(name);
  if (info.status == TypeStatus::Unknown)
    throw UnsupportedError("[formats] there is no tensor type \"" + name + "\".");
  if (info.status != TypeStatus::Supported)
    throw UnsupportedError("[formats] type " + std::string(info.name) +
                           " has no conversion in this version.");
  return info;
}

bool all_finite(const float* values, size_t n) noexcept {
  for (size_t i = 0; i < n; ++i)
    if (!std::isfinite(values[i])) return false;
  return true;
}

namespace {

constexpr uint32_t kMaxTypeId = 64;

py::list tensor_types() {
  py::list rows;
  for (uint32_t id = 0; id < kMaxTypeId; ++id) {
    const TypeInfo info = type_info(id);
    if (info.status == TypeStatus::Unknown) continue;
    const char* status = info.status == TypeStatus::Supported  ? "supported"
                         : info.status == TypeStatus::DataOnly ? "data"
                                                               : "removed";
    rows.append(
        py::make_tuple(std::string(info.name), id, info.block_values, info.block_bytes, status));
  }
  return rows;
}

// The row length and number of rows of a shape whose rows are whole blocks.
struct Rows {
  size_t count = 1, values = 1;
};

Rows rows_of(const std::vector<py::ssize_t>& shape, const TypeInfo& info) {
  Rows rows;
  if (shape.empty()) throw ShapeError("[formats] a tensor has at least one dimension.");
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] <= 0)
      throw ShapeError("[formats] dimensions are positive. Got " + std::to_string(shape[i]) + ".");
    size_t& factor = i + 1 == shape.size() ? rows.values : rows.count;
    if (__builtin_mul_overflow(factor, static_cast<size_t>(shape[i]), &factor))
      throw ShapeError("[formats] the shape has too many values.");
  }
  if (rows.values % info.block_values != 0)
    throw ShapeError("[formats] rows of " + std::string(info.name) + " are multiples of " +
                     std::to_string(info.block_values) + " values. Got " +
                     std::to_string(rows.values) + ".");
  return rows;
}

py::array_t<float> decode(const std::string& name,
                          const py::array_t<uint8_t, py::array::c_style>& blocks,
                          const std::vector<py::ssize_t>& shape) {
  const TypeInfo info = supported_type(name);
  const Rows rows = rows_of(shape, info);
  const size_t row_bytes = rows.values / info.block_values * info.block_bytes;
  size_t bytes = 0;
  if (__builtin_mul_overflow(row_bytes, rows.count, &bytes) ||
      bytes != static_cast<size_t>(blocks.nbytes()))
    throw ShapeError("[formats] decode " + std::string(info.name) +
                     " needs the bytes of its shape. Got " + std::to_string(blocks.nbytes()) +
                     ", expected " + std::to_string(bytes) + ".");
  py::array_t<float> out(shape);
  const uint8_t* in = blocks.data();
  float* values = out.mutable_data();
  {
    const py::gil_scoped_release release;
    for (size_t r = 0; r < rows.count; ++r)
      decode_row(info.format)(in + r * row_bytes, values + r * rows.values, rows.values);
  }
  return out;
}

py::array_t<uint8_t> encode(const std::string& name,
                            const py::array_t<float, py::array::c_style>& values) {
  const TypeInfo info = supported_type(name);
  if (encode_row(info.format) == nullptr)
    throw UnsupportedError("[formats] type " + std::string(info.name) +
                           " can be read but not written. Hint: choose a type of more bits.");
  const std::vector<py::ssize_t> shape(values.shape(), values.shape() + values.ndim());
  const Rows rows = rows_of(shape, info);
  const float* in = values.data();
  if (info.block_values > 1 && !all_finite(in, rows.count * rows.values))
    throw ShapeError("[formats] block formats hold finite values only. Got NaN or infinity.");
  const size_t row_bytes = rows.values / info.block_values * info.block_bytes;
  py::array_t<uint8_t> out(static_cast<py::ssize_t>(row_bytes * rows.count));
  uint8_t* blocks = out.mutable_data();
  {
    const py::gil_scoped_release release;
    for (size_t r = 0; r < rows.count; ++r)
      encode_row(info.format)(in + r * rows.values, blocks + r * row_bytes, rows.values);
  }
  return out;
}

}  // namespace

void bind_formats(py::module_& module) {
  module.def("tensor_types", &tensor_types);
  module.def("decode", &decode, py::arg("type_name"), py::arg("blocks"), py::arg("shape"));
  module.def("encode", &encode, py::arg("type_name"), py::arg("values"));
}

}  // namespace gm::bindings
