// SPDX-License-Identifier: MIT
// Changes of operations that keep a state, for the fuzz target of plans.
#pragma once

#include "choices.h"
#include "plan/plan.h"

namespace gm::fuzz {

struct ChangeRecurrentOp {
  Choices& c;

  void operator()(gm::ShortConvOp& o) const {
    switch (c.below(7)) {
      case 0:
        o.x = c.id(o.x);
        break;
      case 1:
        o.gate = c.below(2) ? gm::kNone : c.id(o.gate);
        break;
      case 2:
        o.out = c.id(o.out);
        break;
      case 3:
        o.weight = c.id(o.weight);
        break;
      case 4:
        o.bias = c.below(2) ? gm::kNone : c.id(o.bias);
        break;
      case 5:
        o.state = c.id(o.state);
        break;
      default:
        o.silu = !o.silu;
    }
  }
  void operator()(gm::DeltaRuleOp& o) const {
    switch (c.below(8)) {
      case 0:
        (c.below(2) ? o.qkv : o.out) = c.id(o.qkv);
        break;
      case 1:
        (c.below(2) ? o.alpha : o.beta) = c.id(o.alpha);
        break;
      case 2:
        (c.below(2) ? o.rate : o.shift) = c.id(o.rate);
        break;
      case 3:
        o.state = c.id(o.state);
        break;
      case 4:
        (c.below(2) ? o.heads : o.key_heads) = c.number(o.heads);
        break;
      case 5:
        o.key_dim = c.number(o.key_dim);
        break;
      case 6:
        o.value_dim = c.number(o.value_dim);
        break;
      default:
        o.eps = c.real();
    }
  }
  void operator()(gm::SplitHeadsOp& o) const {
    switch (c.below(3)) {
      case 0:
        o.x = c.id(o.x);
        break;
      case 1:
        (c.below(2) ? o.first : o.second) = c.id(o.first);
        break;
      default:
        o.heads = c.number(o.heads);
    }
  }
};

}  // namespace gm::fuzz
