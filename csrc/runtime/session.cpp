// SPDX-License-Identifier: MIT
// Locks are always taken in one order: the session's, then the pool's.
#include "runtime/session.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace gm {
namespace {

constexpr size_t kMaxContext = size_t{1} << 24;  // where rope angles stay exact

std::string text(uint64_t value) { return std::to_string(value); }

void check_ids(std::span<const LogitEdit> edits, size_t V) {
  int64_t last = -1;
  for (const LogitEdit& edit : edits) {
    if (edit.id <= last || static_cast<uint64_t>(edit.id) >= V) {
      throw ContextError("[candidates] Ids of edits are ascending and at most " + text(V - 1) +
                         ". Got " + std::to_string(edit.id) + " after " + std::to_string(last) +
                         ".");
    }
    last = edit.id;
  }
}

}  // namespace

SessionOptions checked_options(SessionOptions options, const Plan& plan) {
  if (options.context < 1 || options.context > kMaxContext) {
    throw ContextError("[session] A context is 1 to " + text(kMaxContext) + " tokens. Got " +
                       text(options.context) + ".");
  }
  if (options.max_batch < 1) {
    throw ContextError("[session] A batch takes at least one token. Got max_batch 0.");
  }
  const uint64_t positions = traits_of(plan).positions;
  if (options.context > positions) {
    throw ContextError("[session] The model has embeddings of " + text(positions) +
                       " positions. Got a context of " + text(options.context) + ".");
  }
  options.max_batch = std::min(options.max_batch, options.context);
  return options;
}

ExecutorLimits executor_limits(const SessionOptions& options, size_t threads) noexcept {
  return {threads,         options.max_batch, options.all_logits ? options.max_batch : 1,
          options.context, options.kv,        options.taps};
}

Session::Session(std::shared_ptr<Model> model, const SessionOptions& options)
    : model_(std::move(model)),
      traits_(traits_of(model_->plan())),
      options_(checked_options(options, model_->plan())),
      ropes_(model_->rope_tables(options_.context)),
      cache_(model_->plan(), options_.kv, options_.context),
      states_(model_->plan()),
      executor_(*model_, cache_, states_, *ropes_,
                executor_limits(options_, model_->pool().size())) {
  model_->keep(ropes_);
}

void Session::check(std::span<const int32_t> tokens, std::span<const int32_t> types,
                    size_t position) const {
  if (tokens.empty()) {
    throw ContextError("[forward] A batch has at least one token. Got none.");
  }
  if (tokens.size() > options_.max_batch) {
    throw ContextError("[forward] A batch has at most " + text(options_.max_batch) +
                       " tokens. Got " + text(tokens.size()) + ". Feed it in parts.");
  }
  if (tokens.size() > options_.context - position) {
    throw ContextError("[forward] The context has " + text(options_.context) +
                       " tokens, of which " + text(position) + " are taken. Got " +
                       text(tokens.size()) + " more. Truncate, or use a larger context.");
  }
  for (size_t t = 0; t < tokens.size(); ++t) {
    const int32_t token = tokens[t];
    if (token >= 0 && static_cast<uint64_t>(token) < model_->plan().vocab_size) continue;
    throw ContextError("[forward] Tokens are 0 to " + text(model_->plan().vocab_size - 1) +
                       ". Got " + std::to_string(token) + " at index " + text(t) + ".");
  }
  if (!types.empty() && types.size() != tokens.size()) {
    throw ContextError("[forward] Every token has a type, or none has. Got " + text(types.size()) +
                       " types for " + text(tokens.size()) + " tokens.");
  }
  for (const int32_t type : types) {
    if (type >= 0 && static_cast<uint64_t>(type) < traits_.types) continue;
    throw ContextError("[forward] Types of tokens are 0 to " + text(traits_.types - 1) + ". Got " +
                       std::to_string(type) + ".");
  }
}

void Session::check_logits() const {
  if (!traits_.logits) {
    throw UnsupportedError("[candidates] The model gives embeddings. It has no logits.");
  }
  if (logits_rows_ == 0) {
    throw ContextError("[candidates] There are logits after the first forward. Got none yet.");
  }
}

void Session::forward(std::span<const int32_t> tokens, std::span<const int32_t> types) {
  model_->pool().check_process();  // before any lock: a forked child may find it held for ever
  const std::lock_guard session_lock(mutex_);
  const size_t begin = traits_.whole_texts ? 0 : position_.load();
  check(tokens, types, begin);
  if (begin + tokens.size() < position_) cache_.clear(begin + tokens.size(), position_);
  if (begin != position_) states_.rewind(begin);
  position_ = begin;
  const size_t rows = options_.all_logits && !traits_.one_row ? tokens.size() : 1;
  const std::lock_guard pool_lock(model_->pool_mutex());
  if (states_.due(position_)) states_.save(position_);
  executor_.run(tokens.data(), types.empty() ? nullptr : types.data(), tokens.size(), position_,
                rows);
  if (model_->weights().broken()) {  // some of them were zeros
    logits_rows_ = 0;
    const size_t found = back_to(position_);
    cache_.clear(found, position_ + tokens.size());
    position_ = found;
    model_->weights().check();
  }
  position_ += tokens.size();
  logits_rows_ = rows;
}

void Session::truncate(size_t position) {
  const std::lock_guard lock(mutex_);
  if (position > position_) {
    throw ContextError("[truncate] The session holds " + text(position_) +
                       " tokens. Got position " + text(position) + ".");
  }
  if (position == position_) return;
  if (reachable_from(position) != position) {
    throw ContextError("[truncate] A recurrent state goes back to its checkpoints only. Got " +
                       text(position) + ", the last before it is " +
                       text(states_.reachable(position)) +
                       ". Go there and feed the tokens from there on again.");
  }
  cache_.clear(position, position_);
  position_ = back_to(position);
}

// Without the check that forward and truncate make: the position is at most the present one.
size_t Session::reachable_from(size_t position) const noexcept {
  return states_.empty() || position == position_ ? position : states_.reachable(position);
}

// States go back at least to `position`, from wherever a forward has left them.
size_t Session::back_to(size_t position) noexcept {
  if (states_.empty()) return position;
  const size_t found = states_.reachable(position);
  states_.rewind(found);
  return found;
}

size_t Session::reachable(size_t position) {
  const std::lock_guard lock(mutex_);
  return reachable_from(std::min(position, position_.load()));
}

void Session::checkpoint() {
  const std::lock_guard lock(mutex_);
  states_.save(position_);
}

Candidates Session::candidates(size_t n) {
  const std::lock_guard lock(mutex_);
  check_logits();
  return best_candidates(model_->kernels(), executor_.last_row(), n);
}

EditedCandidates Session::candidates(size_t n, const LogitChanges& changes,
                                     const std::span<const uint32_t>* mask, RowSums sums) {
  const std::lock_guard lock(mutex_);
  check_logits();
  const KernelTable& kernels = model_->kernels();
  LogitRow row = executor_.last_row();
  check_ids(changes.bias, row.V);
  check_ids(changes.less, row.V);
  for (const int32_t token : changes.recent) {
    if (token >= 0 && static_cast<size_t>(token) < row.V) continue;
    throw ContextError("[candidates] Tokens are 0 to " + text(row.V - 1) + ". Got " +
                       std::to_string(token) + ".");
  }
  if (mask == nullptr)
    return best_edited_candidates(kernels, row, n, logit_edits(row, changes), sums);
  if (mask->size() != (row.V + 31) / 32) {
    throw ContextError("[candidates] A mask has a bit per token, " + text((row.V + 31) / 32) +
                       " words of 32. Got " + text(mask->size()) + ".");
  }
  const double mass = best_candidates(kernels, row, 0).logsumexp;
  row = masked_.apply(kernels, row, *mask);
  EditedCandidates best = best_edited_candidates(kernels, row, n, logit_edits(row, changes), sums);
  best.logsumexp = mass;
  return best;
}

}  // namespace gm
