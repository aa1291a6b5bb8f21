// SPDX-License-Identifier: MIT
// The checks of operations that keep a state of the sequence, or come with one that does.
#pragma once

#include "plan/operand_check.h"

namespace gm {

inline constexpr uint64_t kMaxTaps = 16;

// Numbers of the state that the operation keeps. Throw FormatError or ShapeError.
uint64_t short_conv_values(const OperandCheck& check, const ShortConvOp& op);
uint64_t delta_rule_values(const OperandCheck& check, const DeltaRuleOp& op);

void check_split_heads(const OperandCheck& check, const SplitHeadsOp& op);

}  // namespace gm
