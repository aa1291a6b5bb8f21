// SPDX-License-Identifier: MIT
// The dict that gristmill.architectures.plan.Plan.to_dict() makes, as the C++ plan. Only forms are
// checked here (keys, types, ranges of integers); what they mean is for plan/validate.h.
#pragma once

#include <pybind11/pybind11.h>

#include "plan/plan.h"

namespace gm::bindings {

// Throws FormatError that names the place: "[plan, ops[3].eps] ...".
Plan plan_from_dict(const pybind11::dict& dict);

}  // namespace gm::bindings
