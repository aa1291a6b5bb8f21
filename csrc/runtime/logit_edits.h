// SPDX-License-Identifier: MIT
// Bias and penalties as new logits of the tokens that they change, in double: sampling asks for
// them with every token, so nothing here is as long as the vocabulary.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/candidates.h"

namespace gm {

// In this order: the bias is added, repeated tokens are penalised, `less` is subtracted.
struct LogitChanges {
  std::span<const LogitEdit> bias;  // added; ids ascending, unique
  std::span<const int32_t> recent;  // tokens that the three penalties look at
  double repeat = 1;                // divides positive and multiplies other logits
  double frequency = 0;             // subtracted once per occurrence
  double presence = 0;              // subtracted once
  std::span<const LogitEdit> less;  // subtracted; ids ascending, unique
};

// The changed tokens, ids ascending; NaN becomes -infinity. All ids are below V.
std::vector<LogitEdit> logit_edits(const LogitRow& row, const LogitChanges& changes);

}  // namespace gm
