// SPDX-License-Identifier: MIT
// Three sorted lists of ids are walked together: a handful of tokens each.
#include "runtime/logit_edits.h"

#include <algorithm>
#include <limits>

namespace gm {
namespace {

constexpr int32_t kEnd = std::numeric_limits<int32_t>::max();

// The entry of `id` in a list that is walked in order, 0 if there is none.
double take(std::span<const LogitEdit>* list, int32_t id) {
  if (list->empty() || list->front().id != id) return 0.0;
  const double value = list->front().logit;
  *list = list->subspan(1);
  return value;
}

int32_t next_id(std::span<const LogitEdit> list) { return list.empty() ? kEnd : list.front().id; }

double penalised(double logit, size_t count, const LogitChanges& changes) {
  if (changes.repeat != 1) logit *= logit > 0 ? 1 / changes.repeat : changes.repeat;
  if (changes.frequency != 0) logit -= static_cast<double>(count) * changes.frequency;
  return logit - changes.presence;
}

}  // namespace

std::vector<LogitEdit> logit_edits(const LogitRow& row, const LogitChanges& changes) {
  std::vector<int32_t> recent(changes.recent.begin(), changes.recent.end());
  std::sort(recent.begin(), recent.end());
  std::span<const LogitEdit> bias = changes.bias, less = changes.less;
  std::vector<LogitEdit> edits;
  edits.reserve(recent.size() + bias.size() + less.size());
  size_t r = 0;
  while (r < recent.size() || !bias.empty() || !less.empty()) {
    const int32_t first = r < recent.size() ? recent[r] : kEnd;
    const int32_t id = std::min({first, next_id(bias), next_id(less)});
    size_t count = 0;
    for (; r < recent.size() && recent[r] == id; ++r) ++count;
    double logit = static_cast<double>(row.logits[id]) + take(&bias, id);
    if (count != 0) logit = penalised(logit, count, changes);
    logit -= take(&less, id);
    edits.push_back({id, logit == logit ? logit : -std::numeric_limits<double>::infinity()});
  }
  return edits;
}

}  // namespace gm
