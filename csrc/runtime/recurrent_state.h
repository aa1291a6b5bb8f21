// SPDX-License-Identifier: MIT
// What the recurrent operations of a plan keep of one sequence, beside its KV cache. A state holds
// no past: it can only go back to a position at which a copy of it was made. A few such checkpoints
// are kept, close together near the end of the sequence and further apart before it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "plan/plan.h"

namespace gm {

class RecurrentState {
 public:
  static constexpr size_t kCheckpoints = 4;
  static constexpr size_t kEvery = 256;  // positions after which a checkpoint is due

  // Bytes of the states and of all their checkpoints; 0 without states. Throws ResourceError.
  static size_t bytes_for(const Plan& plan);
  // Throws what bytes_for does.
  explicit RecurrentState(const Plan& plan);

  // [values of the state] f32, 64-byte aligned
  float* values(uint32_t state) const noexcept { return values_[state]; }
  bool empty() const noexcept { return bytes_ == 0; }
  size_t bytes() const noexcept { return memory_.size(); }

  // Makes a checkpoint: the states are those after `position` tokens.
  void save(size_t position) noexcept;
  // Whether the last checkpoint is long past.
  bool due(size_t position) const noexcept;
  // The last position not after `position` to which the states can go back; 0 is always one.
  size_t reachable(size_t position) const noexcept;
  // Back to a reachable position; what was saved after it is dropped.
  void rewind(size_t position) noexcept;

 private:
  struct Checkpoint {
    size_t position;
    size_t slot;
  };
  uint8_t* slot(size_t i) noexcept { return memory_.data() + (1 + i) * bytes_; }
  size_t position_of(size_t i) const noexcept { return checkpoints_[i].position; }
  size_t dispensable(size_t position) const noexcept;

  size_t bytes_ = 0;      // of all states
  AlignedBuffer memory_;  // the states, then a copy per checkpoint
  std::vector<float*> values_;
  std::array<Checkpoint, kCheckpoints> checkpoints_;  // by position
  size_t count_ = 0;                                  // of them that are there
};

}  // namespace gm
