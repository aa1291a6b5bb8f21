// SPDX-License-Identifier: MIT
// Changes of a plan's operations that the fuzzer's input chooses: an operand, a number, a flag.
#pragma once

#include <limits>

#include "choices.h"
#include "plan/plan.h"
#include "recurrent_changes.h"

namespace gm::fuzz {

struct ChangeOp : ChangeRecurrentOp {
  using ChangeRecurrentOp::operator();

  void operator()(gm::EmbedOp& o) const {
    if (c.below(3) == 0) o.scale = c.real();
    c.below(2) ? o.weight = c.id(o.weight) : o.out = c.id(o.out);
  }
  void operator()(gm::AddRowsOp& o) const {
    if (c.below(3) == 0) o.index = static_cast<gm::RowIndex>(c.below(2));
    c.below(2) ? o.weight = c.id(o.weight) : o.out = c.id(o.out);
  }
  void operator()(gm::LayerNormOp& o) const {
    switch (c.below(6)) {
      case 0:
        o.x = c.id(o.x);
        break;
      case 1:
        o.weight = c.id(o.weight);
        break;
      case 2:
        o.bias = c.below(2) ? gm::kNone : c.id(o.bias);
        break;
      case 3:
        o.eps = c.real();
        break;
      case 4:
        o.act = c.below(2) ? gm::kNone : c.id(o.act);
        break;
      default:
        o.out = c.below(2) ? gm::kNone : c.id(o.out);
    }
  }
  void operator()(gm::OutputOp& o) const { o.x = c.id(o.x); }
  void operator()(gm::RmsNormOp& o) const {
    switch (c.below(7)) {
      case 0:
        o.x = c.id(o.x);
        break;
      case 1:
        o.weight = c.id(o.weight);
        break;
      case 2:
        o.eps = c.real();
        break;
      case 3:
        o.act = c.id(o.act);
        break;
      case 4:
        o.heads = c.number(o.heads);
        break;
      case 5:
        o.accumulate = !o.accumulate;
        break;
      default:
        o.out = c.id(o.out);
    }
  }
  void operator()(gm::QuantizeOp& o) const { c.below(2) ? o.x = c.id(o.x) : o.act = c.id(o.act); }
  void operator()(gm::LinearOp& o) const {
    switch (c.below(7)) {
      case 0:
        o.act = c.id(o.act);
        break;
      case 1:
        if (!o.weights.empty()) {
          auto& w = o.weights[c.below(o.weights.size())];
          w = c.id(w);
        }
        break;
      case 2:
        if (!o.outs.empty()) {
          auto& b = o.outs[c.below(o.outs.size())];
          b = c.id(b);
        }
        break;
      case 3:
        o.accumulate = !o.accumulate;
        break;
      case 4:
        o.scale = c.real();
        break;
      case 5:
        (c.below(2) ? o.biases : o.factors).push_back(c.below(2) ? gm::kNone : c.byte());
        break;
      default:
        c.below(2) && !o.weights.empty()
            ? (o.weights.pop_back(), o.outs.pop_back())
            : (o.weights.push_back(c.byte()), o.outs.push_back(c.byte()));
    }
  }
  void operator()(gm::RopeStoreOp& o) const {
    switch (c.below(7)) {
      case 0:
        o.q = c.id(o.q);
        break;
      case 1:
        o.k = c.id(o.k);
        break;
      case 2:
        o.v = c.id(o.v);
        break;
      case 3:
        o.layer = c.id(o.layer);
        break;
      case 4:
        o.heads = c.number(o.heads);
        break;
      case 5:
        o.rope = c.below(2) ? gm::kNone : c.id(o.rope);
        break;
      default:
        o.neox = !o.neox;
    }
  }
  void operator()(gm::AttentionOp& o) const {
    switch (c.below(9)) {
      case 7:
        o.bidirectional = !o.bidirectional;
        break;
      case 8:
        o.sinks = c.id(o.sinks);
        break;
      case 0:
        o.q = c.id(o.q);
        break;
      case 1:
        o.out = c.id(o.out);
        break;
      case 2:
        o.layer = c.id(o.layer);
        break;
      case 3:
        o.heads = c.number(o.heads);
        break;
      case 4:
        o.scale = c.real();
        break;
      case 5:
        o.softcap = c.real();
        break;
      default:
        o.window = c.number(o.window);
    }
  }
  void operator()(gm::GluOp& o) const {
    switch (c.below(4)) {
      case 0:
        o.gate = c.id(o.gate);
        break;
      case 1:
        o.up = c.below(2) ? gm::kNone : c.id(o.up);
        break;
      case 2:
        o.activation = static_cast<gm::Activation>(c.below(gm::kActivationCount));
        break;
      default:
        o.act = c.id(o.act);
    }
  }
  void operator()(gm::RouteOp& o) const {
    switch (c.below(6)) {
      case 0:
        o.x = c.id(o.x);
        break;
      case 1:
        o.routes = c.id(o.routes);
        break;
      case 2:
        o.bias = c.id(o.bias);
        break;
      case 3:
        o.used = c.number(o.used);
        break;
      case 4:
        o.gating = static_cast<gm::Gating>(c.below(3));
        o.normalise = !o.normalise;
        break;
      default:
        o.scale = c.real();
    }
  }
  void operator()(gm::ExpertsOp& o) const {
    gm::BufferId* const buffers[] = {&o.act,   &o.routes, &o.out,    &o.pairs, &o.sorted,
                                     &o.gates, &o.ups,    &o.hidden, &o.rows};
    gm::BufferId& buffer = *buffers[c.below(std::size(buffers))];
    switch (c.below(5)) {
      case 0:
        if (!o.weights.empty()) {
          auto& w = o.weights[c.below(o.weights.size())];
          w = c.id(w);
        }
        break;
      case 1:
        o.biases.push_back(c.below(2) ? gm::kNone : c.byte());
        break;
      case 2:
        o.used = c.number(o.used);
        break;
      case 3:
        o.accumulate = !o.accumulate;
        o.activation = static_cast<gm::Activation>(c.below(gm::kActivationCount));
        break;
      default:
        buffer = c.id(buffer);
    }
  }
  void operator()(gm::SelectRowsOp& o) const {
    if (c.below(3) == 0) o.pool = static_cast<gm::Pool>(c.below(3));
    c.below(2) ? o.x = c.id(o.x) : o.out = c.id(o.out);
  }
  void operator()(gm::LogitsOp& o) const {
    if (c.below(3) == 0) (c.below(2) ? o.scale : o.softcap) = c.real();
    c.below(2) ? o.act = c.id(o.act) : o.weight = c.id(o.weight);
  }
};

}  // namespace gm::fuzz
