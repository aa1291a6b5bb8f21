// SPDX-License-Identifier: MIT
// What the binding files share: one bind_*() per concept, called by module.cpp in this order.
// pyruntime/gristmill/_core.pyi is the contract that they fulfil.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>
#include <vector>

#include "formats/format.h"
#include "runtime/session.h"

namespace gm::bindings {

void bind_errors(pybind11::module_& module);       // first: the others may throw
void bind_gguf(pybind11::module_& module);         // GgufFile is gm::gguf::File, held by shared_ptr
void bind_gguf_writer(pybind11::module_& module);  // called by bind_gguf
void bind_scan(pybind11::module_& module);         // scan_values
void bind_formats(pybind11::module_& module);      // tensor types, decode, encode
void bind_quantize(pybind11::module_& module);     // quantize, fit, pack
void bind_machine(pybind11::module_& module);      // ISA levels, threads, measured peaks
void bind_memory(pybind11::module_& module);       // MemoryPlan, the panel cache
void bind_runtime(pybind11::module_& module);      // Model, Session

// The methods of Session that sampling uses.
void bind_candidates(pybind11::class_<Session, std::shared_ptr<Session>>& session);

// A type with conversions, by name. Throws UnsupportedError.
TypeInfo supported_type(const std::string& name);
bool all_finite(const float* values, size_t n) noexcept;

// Token ids of a sequence or array of integers. Throws ContextError.
std::vector<int32_t> to_tokens(const pybind11::object& object);
// A path as Python has it.
pybind11::object to_path(const std::string& path);
// Negative numbers become 0, which the session refuses by name.
// Throws UnsupportedError for a KV type that does not exist.
SessionOptions session_options(int64_t context, int64_t max_batch, bool all_logits,
                               const std::string& kv);

}  // namespace gm::bindings
