// SPDX-License-Identifier: MIT
// Sizes are bounded before they are multiplied: 2^14 heads of 2^12 by 2^12 numbers are 2^38.
#include "plan/recurrent_check.h"

#include <cmath>

#include "plan/validate.h"

namespace gm {
namespace {

std::string text(uint64_t value) { return OperandCheck::text(value); }

}  // namespace

uint64_t short_conv_values(const OperandCheck& check, const ShortConvOp& op) {
  const uint64_t channels = check.f32(op.x, BufferRows::Batch);
  if (op.gate != kNone)
    check.same(check.f32(op.gate, BufferRows::Batch), channels, "The width of the gate");
  check.same(check.f32(op.out, BufferRows::Batch), channels, "The width of the output");
  const WeightSpec& w = check.weight(op.weight, 2);
  check.same(w.shape[0], channels, "The number of rows of '" + w.name + "'");
  const uint64_t taps = w.shape[1];
  check.format(taps >= 2 && taps <= kMaxTaps,
               "A short convolution has 2 to " + text(kMaxTaps) + " taps. Got " + text(taps) + ".");
  if (op.bias != kNone)
    check.same(check.weight(op.bias, 1).shape[0], channels, "The length of the bias");
  return (taps - 1) * channels;
}

uint64_t delta_rule_values(const OperandCheck& check, const DeltaRuleOp& op) {
  check.bounded(op.heads, kMaxHeads, "The number of value heads");
  check.bounded(op.key_heads, kMaxHeads, "The number of key heads");
  check.bounded(op.key_dim, kMaxHeadDim, "The size of a key");
  check.bounded(op.value_dim, kMaxHeadDim, "The size of a value");
  check.format(op.heads % op.key_heads == 0, "Value heads are a multiple of the key heads. Got " +
                                                 text(op.heads) + " for " + text(op.key_heads) +
                                                 ".");
  check.format(std::isfinite(op.eps) && op.eps >= 0 && op.eps <= 1,
               "eps is 0 to 1. Got " + std::to_string(op.eps) + ".");
  const uint64_t values = op.heads * op.value_dim;
  check.same(check.f32(op.qkv, BufferRows::Batch), 2 * op.key_heads * op.key_dim + values,
             "The width of queries, keys and values");
  check.same(check.f32(op.alpha, BufferRows::Batch), op.heads, "The width of alpha");
  check.same(check.f32(op.beta, BufferRows::Batch), op.heads, "The width of beta");
  check.same(check.f32(op.out, BufferRows::Batch), values, "The width of the output");
  for (const WeightId id : {op.rate, op.shift}) {
    const WeightSpec& w = check.weight(id, 1);
    check.same(w.shape[0], op.heads, "The length of '" + w.name + "'");
  }
  return op.heads * delta_state_floats(op.key_dim, op.value_dim);
}

void check_split_heads(const OperandCheck& check, const SplitHeadsOp& op) {
  const uint64_t width = check.f32(op.first, BufferRows::Batch);
  check.same(check.f32(op.second, BufferRows::Batch), width, "The width of the second half");
  check.same(check.f32(op.x, BufferRows::Batch), 2 * width, "The width of both halves");
  check.format(op.heads >= 1 && width % op.heads == 0,
               "Heads that are split have one length. Got " + text(op.heads) + " in " +
                   text(width) + " numbers.");
}

}  // namespace gm
