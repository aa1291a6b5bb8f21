// SPDX-License-Identifier: MIT
// gristmill._core: the Python module of the C++ core. Private; the modules around it are the API.
// Only names are gathered here, each concept binds itself.
#include "bindings/bindings.h"

#ifndef GM_VERSION
#define GM_VERSION "0.1.0"
#endif

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ core of gristmill. Private: use the Python modules around it.";
  module.attr("__version__") = GM_VERSION;
  gm::bindings::bind_errors(module);
  gm::bindings::bind_gguf(module);
  gm::bindings::bind_scan(module);
  gm::bindings::bind_formats(module);
  gm::bindings::bind_quantize(module);
  gm::bindings::bind_machine(module);
  gm::bindings::bind_memory(module);
  gm::bindings::bind_runtime(module);
}
