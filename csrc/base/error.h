// SPDX-License-Identifier: MIT
// The core's exceptions; Python sees classes of the same names in gristmill.errors.
// Message: "[where] rule. Got X, expected Y. Hint." Thrown only before plan() returns and where a
// request is checked; the forward path is noexcept.
#pragma once

#include <stdexcept>
#include <string>

namespace gm {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// The bytes of a file break the format.
struct FormatError : Error {
  using Error::Error;
};
// Tensors or buffers that do not fit together.
struct ShapeError : Error {
  using Error::Error;
};
// Valid, but not something that this build can run.
struct UnsupportedError : Error {
  using Error::Error;
};
// Memory, files, threads or devices that the system did not give.
struct ResourceError : Error {
  using Error::Error;
};
// A request that does not fit into the session's context.
struct ContextError : Error {
  using Error::Error;
};

}  // namespace gm
