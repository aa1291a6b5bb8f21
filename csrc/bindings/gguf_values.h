// SPDX-License-Identifier: MIT
// The NumPy side of GGUF's value types, for reading and for writing them. Header-only: two binding
// files share this one table, and a mismatch between them would corrupt round trips.
#pragma once

#include <pybind11/numpy.h>

#include "gguf/reader.h"

namespace gm::bindings {

// The dtype of a numeric or boolean type. Not for strings and arrays.
inline pybind11::dtype value_dtype(gguf::ValueType type) {
  namespace py = pybind11;
  using gguf::ValueType;
  switch (type) {
    case ValueType::Uint8:
      return py::dtype::of<uint8_t>();
    case ValueType::Int8:
      return py::dtype::of<int8_t>();
    case ValueType::Uint16:
      return py::dtype::of<uint16_t>();
    case ValueType::Int16:
      return py::dtype::of<int16_t>();
    case ValueType::Uint32:
      return py::dtype::of<uint32_t>();
    case ValueType::Int32:
      return py::dtype::of<int32_t>();
    case ValueType::Uint64:
      return py::dtype::of<uint64_t>();
    case ValueType::Int64:
      return py::dtype::of<int64_t>();
    case ValueType::Float32:
      return py::dtype::of<float>();
    case ValueType::Float64:
      return py::dtype::of<double>();
    default:
      return py::dtype::of<bool>();
  }
}

}  // namespace gm::bindings
