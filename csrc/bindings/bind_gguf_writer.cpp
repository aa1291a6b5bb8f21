// SPDX-License-Identifier: MIT
// GgufWriter. Python values are converted without loss or refused: an integer that does not fit its
// type, a float beyond float32, text that is no string are FormatErrors that name the key. Disk
// access releases the GIL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/gguf_values.h"
#include "gguf/writer.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

using gguf::ValueType;

// A writer and the lock that keeps calls from several threads apart; taken without the GIL.
class PyWriter {
 public:
  PyWriter(const std::string& path, uint64_t alignment) : writer_(path, alignment) {}

  template <class Call>
  void locked(Call call) {
    const py::gil_scoped_release release;
    const std::lock_guard<std::mutex> guard(mutex_);
    call(writer_);
  }

 private:
  std::mutex mutex_;
  gguf::Writer writer_;
};

[[noreturn]] void bad_value(const std::string& key, ValueType type, py::handle value) {
  std::string text = py::repr(value).cast<std::string>();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  throw FormatError("[key " + gguf::quoted(key) + "] the value does not fit its type. Got " + text +
                    ", expected " + std::string(gguf::value_type_name(type)) + ".");
}

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// A Python integer within [T's range]; false if it is not one.
template <class T>
bool append_int(std::string& out, py::handle value) {
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) return PyErr_Clear(), false;
  if constexpr (std::is_unsigned_v<T>) {
    const unsigned long long number = PyLong_AsUnsignedLongLong(index.ptr());
    if (PyErr_Occurred() != nullptr) return PyErr_Clear(), false;
    if (number > std::numeric_limits<T>::max()) return false;
    append(out, static_cast<T>(number));
  } else {
    const long long number = PyLong_AsLongLong(index.ptr());
    if (PyErr_Occurred() != nullptr) return PyErr_Clear(), false;
    if (number < std::numeric_limits<T>::min() || number > std::numeric_limits<T>::max()) {
      return false;
    }
    append(out, static_cast<T>(number));
  }
  return true;
}

template <class T>
bool append_float(std::string& out, py::handle value) {
  const double number = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred() != nullptr) return PyErr_Clear(), false;
  const bool finite = number - number == 0.0;
  if (finite && (number > static_cast<double>(std::numeric_limits<T>::max()) ||
                 number < static_cast<double>(std::numeric_limits<T>::lowest()))) {
    return false;
  }
  append(out, static_cast<T>(number));
  return true;
}

bool append_bool(std::string& out, py::handle value) {
  const std::string_view type = Py_TYPE(value.ptr())->tp_name;
  if (type != "bool" && type != "numpy.bool" && type != "numpy.bool_") return false;
  append(out, static_cast<uint8_t>(PyObject_IsTrue(value.ptr()) == 1));
  return true;
}

bool append_scalar(std::string& out, ValueType type, py::handle value) {
  switch (type) {
    case ValueType::Uint8:
      return append_int<uint8_t>(out, value);
    case ValueType::Int8:
      return append_int<int8_t>(out, value);
    case ValueType::Uint16:
      return append_int<uint16_t>(out, value);
    case ValueType::Int16:
      return append_int<int16_t>(out, value);
    case ValueType::Uint32:
      return append_int<uint32_t>(out, value);
    case ValueType::Int32:
      return append_int<int32_t>(out, value);
    case ValueType::Uint64:
      return append_int<uint64_t>(out, value);
    case ValueType::Int64:
      return append_int<int64_t>(out, value);
    case ValueType::Float32:
      return append_float<float>(out, value);
    case ValueType::Float64:
      return append_float<double>(out, value);
    case ValueType::Bool:
      return append_bool(out, value);
    default:
      return false;
  }
}

// str (surrogateescape gives the original bytes back) or bytes.
std::string string_bytes(const std::string& key, py::handle value) {
  if (PyBytes_Check(value.ptr())) return value.cast<py::bytes>();
  if (!PyUnicode_Check(value.ptr())) bad_value(key, ValueType::String, value);
  const auto encoded = py::reinterpret_steal<py::bytes>(
      PyUnicode_AsEncodedString(value.ptr(), "utf-8", "surrogateescape"));
  if (encoded) return encoded;
  PyErr_Clear();
  bad_value(key, ValueType::String, value);
}

void add_array(PyWriter& self, const std::string& key, ValueType element, py::handle value) {
  if (PyUnicode_Check(value.ptr()) || PyBytes_Check(value.ptr()) ||
      !PySequence_Check(value.ptr())) {
    bad_value(key, ValueType::Array, value);
  }
  if (element == ValueType::String) {
    std::vector<std::string> strings;
    for (const py::handle item : value) strings.push_back(string_bytes(key, item));
    self.locked([&](gguf::Writer& writer) { writer.add_strings(key, strings); });
    return;
  }
  std::string bytes;
  uint64_t count = 0;
  if (py::isinstance<py::array>(value)) {
    const auto array = py::reinterpret_borrow<py::array>(value);
    if (array.ndim() == 1 && array.dtype().equal(value_dtype(element))) {
      bytes = array.attr("tobytes")().cast<std::string>();
      count = static_cast<uint64_t>(array.size());
    }
  }
  if (count == 0) {
    for (const py::handle item : value) {
      if (!append_scalar(bytes, element, item)) bad_value(key, element, item);
      ++count;
    }
  }
  self.locked([&](gguf::Writer& writer) { writer.add_array(key, element, bytes.data(), count); });
}

void add_value(PyWriter& self, const std::string& key, const std::string& type_name,
               const py::object& value) {
  std::string_view name = type_name;
  const bool is_array = name.starts_with("array[") && name.ends_with("]");
  if (is_array) name = name.substr(6, name.size() - 7);
  ValueType type = ValueType::Uint8;
  if (!gguf::parse_value_type(name, &type) || type == ValueType::Array) {
    throw UnsupportedError("[key " + gguf::quoted(key) + "] unknown value type. Got " +
                           gguf::quoted(type_name) +
                           ", expected a name such as uint32, string or array[float32].");
  }
  if (is_array) {
    add_array(self, key, type, value);
  } else if (type == ValueType::String) {
    const std::string text = string_bytes(key, value);
    self.locked([&](gguf::Writer& writer) { writer.add_string(key, text); });
  } else {
    std::string bytes;
    if (!append_scalar(bytes, type, value)) bad_value(key, type, value);
    self.locked([&](gguf::Writer& writer) { writer.add_scalar(key, type, bytes.data()); });
  }
}

void declare(PyWriter& self, const std::string& name, const std::string& type_name,
             const py::sequence& shape) {
  std::vector<uint64_t> dims;
  for (py::ssize_t i = py::len(shape) - 1; i >= 0; --i) {
    std::string bytes;
    const py::object size = shape[static_cast<size_t>(i)];
    if (!append_int<uint64_t>(bytes, size)) {
      throw ShapeError("[tensor " + gguf::quoted(name) + "] a dimension is a positive integer. " +
                       "Got " + py::repr(size).cast<std::string>() + ".");
    }
    uint64_t dim = 0;
    std::memcpy(&dim, bytes.data(), sizeof(dim));
    dims.push_back(dim);
  }
  self.locked([&](gguf::Writer& writer) { writer.declare(name, type_name, dims); });
}

// Any object with a C-contiguous buffer; its bytes are written as they are.
void write(PyWriter& self, const std::string& name, const py::object& data) {
  struct View {
    Py_buffer buffer{};
    ~View() { PyBuffer_Release(&buffer); }
  } view;
  if (PyObject_GetBuffer(data.ptr(), &view.buffer, PyBUF_SIMPLE) != 0) {
    PyErr_Clear();
    throw ShapeError("[tensor " + gguf::quoted(name) + "] contiguous bytes are needed. Got " +
                     Py_TYPE(data.ptr())->tp_name + ".");
  }
  const std::span<const uint8_t> bytes(static_cast<const uint8_t*>(view.buffer.buf),
                                       static_cast<size_t>(view.buffer.len));
  self.locked([&](gguf::Writer& writer) { writer.write(name, bytes); });
}

}  // namespace

void bind_gguf_writer(py::module_& module) {
  py::class_<PyWriter>(module, "GgufWriter")
      .def(py::init<const std::string&, uint64_t>(), py::arg("path"),
           py::arg("alignment") = gguf::kDefaultAlignment)
      .def("add", &add_value, py::arg("key"), py::arg("value_type"), py::arg("value"))
      .def("declare", &declare, py::arg("name"), py::arg("type_name"), py::arg("shape"))
      .def("write", &write, py::arg("name"), py::arg("data"))
      .def("close",
           [](PyWriter& self) { self.locked([](gguf::Writer& writer) { writer.close(); }); })
      .def("abort",
           [](PyWriter& self) { self.locked([](gguf::Writer& writer) { writer.abort(); }); });
}

}  // namespace gm::bindings
