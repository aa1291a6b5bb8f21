// SPDX-License-Identifier: MIT
// GgufFile. Numeric arrays become NumPy arrays (copies), strings become str with surrogateescape
// (some files hold tokens that are raw bytes, and those must survive a round trip), tensor bytes
// become read-only views that keep the file alive. Opening releases the GIL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/gguf_values.h"
#include "gguf/file.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

using gguf::ArrayHead;
using gguf::File;
using gguf::MetaEntry;
using gguf::Reader;
using gguf::TensorInfo;
using gguf::ValueType;

py::object steal(PyObject* object) {
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

py::object to_str(std::string_view text) {
  return steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape"));
}

py::object read_scalar(Reader& reader, ValueType type) {
  switch (type) {
    case ValueType::Uint8:
      return py::int_(reader.scalar<uint8_t>("a value"));
    case ValueType::Int8:
      return py::int_(reader.scalar<int8_t>("a value"));
    case ValueType::Uint16:
      return py::int_(reader.scalar<uint16_t>("a value"));
    case ValueType::Int16:
      return py::int_(reader.scalar<int16_t>("a value"));
    case ValueType::Uint32:
      return py::int_(reader.scalar<uint32_t>("a value"));
    case ValueType::Int32:
      return py::int_(reader.scalar<int32_t>("a value"));
    case ValueType::Uint64:
      return py::int_(reader.scalar<uint64_t>("a value"));
    case ValueType::Int64:
      return py::int_(reader.scalar<int64_t>("a value"));
    case ValueType::Float32:
      return py::float_(reader.scalar<float>("a value"));
    case ValueType::Float64:
      return py::float_(reader.scalar<double>("a value"));
    case ValueType::Bool:
      return py::bool_(reader.boolean("a value"));
    default:
      return to_str(reader.string("a string"));
  }
}

// The elements of an array whose head has been read. `depth` counts it and the arrays around it: it
// was limited when the file was opened, but the bytes may have changed since.
py::object read_array(Reader& reader, const ArrayHead& head, int depth = 1) {
  if (depth > gguf::kMaxArrayDepth) reader.fail("the file changed while it was in use.");
  const uint32_t size = gguf::value_size(head.element);
  if (size == 0) {
    py::object list = steal(PyList_New(static_cast<Py_ssize_t>(head.length)));
    for (uint64_t i = 0; i < head.length; ++i) {
      py::object item = head.element == ValueType::String
                            ? to_str(reader.string("a string"))
                            : read_array(reader, gguf::read_array_head(reader), depth + 1);
      PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(i), item.release().ptr());
    }
    return list;
  }
  if (head.element == ValueType::Bool) {
    Reader check = reader;
    for (uint64_t i = 0; i < head.length; ++i) check.boolean("an element");
  }
  const std::span<const uint8_t> bytes = reader.take(head.length * size, "an array");
  py::array array(value_dtype(head.element), static_cast<py::ssize_t>(head.length));
  std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(array.mutable_data()));
  return array;
}

const MetaEntry& entry_of(const File& file, const std::string& key) {
  const MetaEntry* entry = file.metadata().find(key);
  if (entry == nullptr) file.check();  // its name may be gone
  if (entry == nullptr) throw py::key_error(key);
  return *entry;
}

py::object read_value(const File& file, const std::string& key) {
  const MetaEntry& entry = entry_of(file, key);
  Reader reader = file.metadata().reader_at(entry);
  try {
    py::object value = entry.type == ValueType::Array ? read_array(reader, entry.array)
                                                      : read_scalar(reader, entry.type);
    file.check();
    return value;
  } catch (const py::error_already_set& error) {
    if (error.matches(PyExc_MemoryError)) throw std::bad_alloc();
    throw;
  } catch (const Error&) {
    file.check();
    throw;
  }
}

std::string value_type(const File& file, const std::string& key) {
  const MetaEntry& entry = entry_of(file, key);
  const std::string name(gguf::value_type_name(entry.type));
  if (entry.type != ValueType::Array) return name;
  return name + "[" + std::string(gguf::value_type_name(entry.array.element)) + "]";
}

uint64_t array_length(const File& file, const std::string& key) {
  const MetaEntry& entry = entry_of(file, key);
  if (entry.type == ValueType::Array) return entry.array.length;
  throw FormatError("[" + file.part(0).path() + ", key " + gguf::quoted(key) +
                    "] an array is needed. Got " + value_type(file, key) + ".");
}

py::list list_keys(const File& file) {
  py::list keys;
  for (const MetaEntry& entry : file.metadata().entries()) keys.append(to_str(entry.key));
  file.check();
  return keys;
}

py::list list_tensors(const File& file) {
  py::list result;
  for (const TensorInfo& tensor : file.tensors()) {
    py::tuple shape(tensor.n_dims);
    for (uint32_t i = 0; i < tensor.n_dims; ++i) shape[i] = tensor.dims[tensor.n_dims - 1 - i];
    result.append(py::make_tuple(to_str(tensor.name), std::string(tensor.type.name), shape,
                                 tensor.offset, tensor.bytes, tensor.part));
  }
  file.check();
  return result;
}

// `self` is the GgufFile object: the view's base, so that the map outlives the view.
py::array tensor_bytes(const py::object& self, const std::string& name) {
  const auto& file = self.cast<const File&>();
  const TensorInfo* tensor = file.find(name);
  file.check();
  if (tensor == nullptr) throw py::key_error(name);
  const std::span<const uint8_t> bytes = file.bytes(*tensor);
  py::array_t<uint8_t> view(static_cast<py::ssize_t>(bytes.size()), bytes.data(), self);
  view.attr("flags").attr("writeable") = false;
  return view;
}

}  // namespace

py::object to_path(const std::string& path) {
  return steal(PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size())));
}

void bind_gguf(py::module_& module) {
  py::class_<File, std::shared_ptr<File>>(module, "GgufFile")
      .def(py::init([](const std::string& path) {
             const py::gil_scoped_release release;
             return File::open(path);
           }),
           py::arg("path"))
      .def_property_readonly("version", &File::version)
      .def_property_readonly("alignment", &File::alignment)
      .def_property_readonly("paths",
                             [](const File& file) {
                               py::list paths;
                               for (size_t i = 0; i < file.part_count(); ++i) {
                                 paths.append(to_path(file.part(i).path()));
                               }
                               return paths;
                             })
      .def_property_readonly("file_bytes", &File::file_bytes)
      .def("keys", &list_keys)
      .def("value_type", &value_type, py::arg("key"))
      .def("value", &read_value, py::arg("key"))
      .def("array_length", &array_length, py::arg("key"))
      .def("tensors", &list_tensors)
      .def("tensor_bytes", &tensor_bytes, py::arg("name"))
      .def("check", &File::check);

  bind_gguf_writer(module);
}

}  // namespace gm::bindings
