// SPDX-License-Identifier: MIT
// What the binding files share: one bind_*() per concept, called by module.cpp in this order.
// pyruntime/gristmill/_core.pyi is the contract that they fulfil.
#pragma once

#include <pybind11/pybind11.h>

namespace gm::bindings {

void bind_errors(pybind11::module_& module);       // first: the others may throw
void bind_gguf(pybind11::module_& module);         // GgufFile is gm::gguf::File, held by shared_ptr
void bind_gguf_writer(pybind11::module_& module);  // called by bind_gguf
void bind_formats(pybind11::module_& module);      // tensor types, decode, encode
void bind_machine(pybind11::module_& module);      // ISA levels, threads, measured peaks
void bind_runtime(pybind11::module_& module);      // Model, Session

}  // namespace gm::bindings
