// SPDX-License-Identifier: MIT
// The core's exceptions as the classes of gristmill.errors. The classes live in Python, so that
// pure-Python errors share their base; they are looked up when an exception crosses, which is rare.
#include <exception>
#include <new>
#include <stdexcept>

#include "base/error.h"
#include "bindings/bindings.h"

namespace py = pybind11;

namespace gm::bindings {
namespace {

// Messages may quote paths and names of any bytes; those that are not UTF-8 are escaped.
void raise(const char* class_name, const char* message) {
  try {
    const py::object type = py::module_::import("gristmill.errors").attr(class_name);
    const auto text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
        message, static_cast<Py_ssize_t>(std::char_traits<char>::length(message)),
        "backslashreplace"));
    if (text) PyErr_SetObject(type.ptr(), text.ptr());
  } catch (py::error_already_set& error) {
    error.restore();
  }
}

void translate(std::exception_ptr pointer) {
  if (!pointer) return;
  try {
    std::rethrow_exception(pointer);
  } catch (const FormatError& error) {
    raise("FormatError", error.what());
  } catch (const ShapeError& error) {
    raise("ShapeError", error.what());
  } catch (const UnsupportedError& error) {
    raise("UnsupportedError", error.what());
  } catch (const ResourceError& error) {
    raise("ResourceError", error.what());
  } catch (const ContextError& error) {
    raise("ContextError", error.what());
  } catch (const Error& error) {
    raise("GristmillError", error.what());
  } catch (const std::bad_alloc&) {
    raise("ResourceError", "[memory] the system has no memory left for this.");
  } catch (const std::length_error&) {
    raise("ResourceError", "[memory] this needs more memory than a process can hold.");
  }
}

}  // namespace

void bind_errors(py::module_&) { py::register_local_exception_translator(translate); }

}  // namespace gm::bindings
