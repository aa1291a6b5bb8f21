// SPDX-License-Identifier: MIT
// One block of memory, so that a checkpoint is one copy. Slots cost memory when they are first
// written.
#include "runtime/recurrent_state.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace gm {
namespace {

// Bytes of all states, each from a cache line on; where they start is told one by one.
template <class F>
uint64_t lay_out(const Plan& plan, F&& starts) {
  uint64_t total = 0;
  for (const StateSpec& state : plan.states) {
    uint64_t bytes = 0;
    starts(total);
    if (!checked_mul(state.values, sizeof(float), &bytes) ||
        !checked_align(bytes, kBufferAlign, &bytes) || !checked_add(total, bytes, &total)) {
      throw ResourceError("[recurrent state] The states must fit into memory. Got " +
                          std::to_string(state.values) + " numbers.");
    }
  }
  return total;
}

}  // namespace

size_t RecurrentState::bytes_for(const Plan& plan) {
  uint64_t bytes = 0;
  if (!checked_mul(lay_out(plan, [](uint64_t) {}), 1 + kCheckpoints, &bytes))
    throw ResourceError("[recurrent state] The checkpoints must fit into memory.");
  return bytes;
}

RecurrentState::RecurrentState(const Plan& plan)
    : memory_(bytes_for(plan), "the recurrent states") {
  for (size_t i = 0; i < kCheckpoints; ++i) checkpoints_[i] = {0, i};
  bytes_ = lay_out(plan, [&](uint64_t start) {
    values_.push_back(reinterpret_cast<float*>(memory_.data() + start));
  });
}

void RecurrentState::save(size_t position) noexcept {
  if (empty() || reachable(position) == position) return;
  if (count_ == kCheckpoints) {
    // The slot of one that is dropped goes to the end, where it is free again.
    const auto first = checkpoints_.begin() + static_cast<ptrdiff_t>(dispensable(position));
    std::rotate(first, first + 1, checkpoints_.end());
    --count_;
  }
  Checkpoint& made = checkpoints_[count_++];
  made.position = position;
  std::memcpy(slot(made.slot), memory_.data(), bytes_);
}

bool RecurrentState::due(size_t position) const noexcept {
  return !empty() && position >= reachable(position) + kEvery;
}

size_t RecurrentState::reachable(size_t position) const noexcept {
  size_t best = 0;
  for (size_t i = 0; i < count_; ++i)
    if (position_of(i) <= position) best = position_of(i);
  return best;
}

void RecurrentState::rewind(size_t position) noexcept {
  if (empty()) return;
  while (count_ > 0 && position_of(count_ - 1) > position) --count_;
  if (position == 0) {
    std::memset(memory_.data(), 0, bytes_);
  } else {
    std::memcpy(memory_.data(), slot(checkpoints_[count_ - 1].slot), bytes_);
  }
}

// The checkpoint without which the distances from `position` back grow most evenly: going without
// it makes a return up to (distance of the one before) / (distance of the one after) times as long.
size_t RecurrentState::dispensable(size_t position) const noexcept {
  size_t best = 0;
  double least = 0;
  for (size_t i = 0; i + 1 < count_; ++i) {
    const size_t before = i == 0 ? 0 : position_of(i - 1);
    const double cost =
        static_cast<double>(position - before) / static_cast<double>(position - position_of(i + 1));
    if (i == 0 || cost < least) {
      best = i;
      least = cost;
    }
  }
  return best;
}

}  // namespace gm
