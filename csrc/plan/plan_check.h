// SPDX-License-Identifier: MIT
// What the checks of a plan share: messages that name the operation, and the tables, which are
// bounded before any operation is looked at.
#pragma once

#include <string>

#include "plan/plan.h"

namespace gm {

class PlanCheck {
 protected:
  explicit PlanCheck(const Plan& plan) : plan_(plan) {}

  std::string where() const;
  void format(bool ok, const std::string& rule) const;                          // or FormatError
  void shape(bool ok, const std::string& rule) const;                           // or ShapeError
  void bounded(uint64_t value, uint64_t limit, const std::string& what) const;  // 1 to limit
  void positive(double value, double limit, const std::string& what) const;
  const WeightSpec& weight(WeightId id, size_t dimensions) const;
  void check_tables();

  const Plan& plan_;
  size_t index_ = 0;  // of the operation that messages name; behind the last: the plan

 private:
  void check_weight(const WeightSpec& w) const;
  void check_rope(const RopeSpec& rope) const;
};

}  // namespace gm
