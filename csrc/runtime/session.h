// SPDX-License-Identifier: MIT
// One sequence: its KV cache, its recurrent state, its buffers, its logits. A request is checked
// completely before any compute; what runs then cannot fail. Calls of several threads take turns.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "runtime/candidates.h"
#include "runtime/executor.h"
#include "runtime/kv_cache.h"
#include "runtime/logit_edits.h"
#include "runtime/model.h"
#include "runtime/recurrent_state.h"

namespace gm {

struct SessionOptions {
  size_t context = 0;       // positions
  size_t max_batch = 512;   // tokens of one forward, at most the context
  bool all_logits = false;  // of every token of a batch instead of its last
  KvType kv = KvType::F16;  // of keys and values
  bool taps = false;        // keep the inputs of linear operations (runtime/taps.h)
};

// The options with max_batch cut to the context. Throws ContextError (out of range, or more
// positions than the model has).
SessionOptions checked_options(SessionOptions options, const Plan& plan);

// What a session with checked options asks of its executor.
ExecutorLimits executor_limits(const SessionOptions& options, size_t threads) noexcept;

class Session {
 public:
  // Throws ContextError (options out of range), ResourceError, FormatError (rope angles),
  // UnsupportedError (a KV type that the heads do not fit).
  Session(std::shared_ptr<Model> model, const SessionOptions& options);

  // Appends the tokens. Throws ContextError (empty, more than max_batch, beyond the context, no
  // token of the vocabulary) or ResourceError (a forked child), leaving everything as it was, or
  // ResourceError for a file that is gone while it is mapped, after which there are no logits. A
  // plan of whole texts begins anew with every call. `types`: of the tokens; none: all 0.
  void forward(std::span<const int32_t> tokens, std::span<const int32_t> types = {});
  // Drops the cache from `position` on. Throws ContextError beyond the present position, or where
  // a recurrent state cannot go back to.
  void truncate(size_t position);
  // The last position not after `position` that truncate takes: `position` itself unless there is a
  // recurrent state, which goes back to checkpoints only.
  size_t reachable(size_t position);
  // Makes the present position one to which a recurrent state can go back, until newer ones take
  // the room; forward makes some, too.
  void checkpoint();
  // The best n of the last row. Throws ContextError before the first forward.
  Candidates candidates(size_t n);
  // The same after `changes`, among the tokens of `mask` [ceil(V / 32)] (see MaskedRow) if it is
  // not null; the logsumexp as computed is of all tokens. Throws ContextError for a token outside
  // the vocabulary, ids out of order and a mask of another size.
  EditedCandidates candidates(size_t n, const LogitChanges& changes,
                              const std::span<const uint32_t>* mask, RowSums sums);

  size_t position() const noexcept { return position_; }
  size_t context() const noexcept { return options_.context; }
  size_t max_batch() const noexcept { return options_.max_batch; }
  const Model& model() const noexcept { return *model_; }

  // [logits_rows, output_width]; overwritten by the next forward.
  const float* logits() const noexcept { return executor_.logits(); }
  size_t logits_rows() const noexcept { return logits_rows_; }
  size_t output_width() const noexcept { return traits_.output_width; }

  KvType kv() const noexcept { return options_.kv; }
  // Of the last forward; null unless the options ask for them.
  const Taps* taps() const noexcept { return executor_.taps(); }
  size_t tap_rows(const Tap& tap) const noexcept { return executor_.last_rows(tap.rows); }
  size_t cache_bytes() const noexcept { return cache_.bytes(); }
  size_t state_bytes() const noexcept { return states_.bytes(); }
  const ExecutorLayout& buffers() const noexcept { return executor_.layout(); }
  size_t rope_bytes() const noexcept { return ropes_->bytes(); }

 private:
  void check(std::span<const int32_t> tokens, std::span<const int32_t> types,
             size_t position) const;
  void check_logits() const;
  size_t reachable_from(size_t position) const noexcept;
  size_t back_to(size_t position) noexcept;

  std::shared_ptr<Model> model_;
  PlanTraits traits_;
  SessionOptions options_;
  std::shared_ptr<const RopeTables> ropes_;
  KvCache cache_;
  RecurrentState states_;
  Executor executor_;
  MaskedRow masked_;
  std::mutex mutex_;
  std::atomic<size_t> position_ = 0;  // read without the lock, too
  std::atomic<size_t> logits_rows_ = 0;
};

}  // namespace gm
