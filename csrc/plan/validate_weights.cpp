// SPDX-License-Identifier: MIT
// The plan's weights against the tensors of the file: everything that is wrong is told at once.
#include <algorithm>

#include "base/error.h"
#include "formats/format.h"
#include "plan/validate.h"

namespace gm {
namespace {

std::string text(uint64_t value) { return std::to_string(value); }

std::string shape_text(const std::vector<uint64_t>& dims) {
  std::string out = "[";
  for (const uint64_t n : dims) out += (out.size() > 1 ? ", " : "") + text(n);
  return out + "]";
}

std::vector<uint64_t> tensor_shape(const WeightSpec& weight) {
  if (weight.of_rows != 0) return {weight.of_rows, weight.shape[1]};
  if (weight.experts == 1) return weight.shape;
  return {weight.experts, weight.shape[0] / weight.experts, weight.shape[1]};
}

// A matrix of one row may be stored as a vector.
bool has_shape(const TensorFacts& facts, const WeightSpec& weight) {
  const std::vector<uint64_t> shape = tensor_shape(weight);
  return facts.shape == shape ||
         (facts.shape.size() == 1 && shape == std::vector<uint64_t>{1, facts.shape[0]});
}

// Why a tensor cannot be read as the plan wants to; empty if it can.
std::string type_problem(const WeightSpec& weight, const TensorFacts& facts, const WeightUse& use) {
  const TypeInfo type = type_info(facts.type_id);
  if (type.status != TypeStatus::Supported) {
    return "'" + weight.name + "' has type " + std::string(type.name) + " (id " +
           text(facts.type_id) + "), which has no kernels here";
  }
  if (facts.shape.back() % type.block_values != 0) {
    return "'" + weight.name + "' has rows of " + text(facts.shape.back()) +
           " values, no multiple of the " + text(type.block_values) + " of a " +
           std::string(type.name) + " block";
  }
  if ((use.vector || use.columns) && type.block_values != 1) {
    return "'" + weight.name + "' has type " + std::string(type.name) +
           ", where plain F32, F16 or BF16 values are needed";
  }
  return {};
}

std::string listed(const std::vector<std::string>& problems) {
  constexpr size_t kShown = 40;
  std::string out;
  for (size_t i = 0; i < std::min(problems.size(), kShown); ++i) {
    out += (i == 0 ? " " : "; ") + problems[i];
  }
  if (problems.size() > kShown) out += "; and " + text(problems.size() - kShown) + " more";
  return out + ".";
}

}  // namespace

void validate_weights(const Plan& plan, std::span<const TensorFacts> facts,
                      const std::string& file) {
  const std::vector<WeightUse> uses = weight_uses(plan);
  std::vector<std::string> shapes, types;
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    const WeightSpec& weight = plan.weights[i];
    if (!facts[i].found) {
      shapes.push_back("'" + weight.name + "' is missing");
    } else if (!has_shape(facts[i], weight)) {
      shapes.push_back("'" + weight.name + "' has shape " + shape_text(facts[i].shape) +
                       ", expected " + shape_text(tensor_shape(weight)));
    } else if (const std::string problem = type_problem(weight, facts[i], uses[i]);
               !problem.empty()) {
      types.push_back(problem);
    }
  }
  if (!shapes.empty()) {
    throw ShapeError("[" + file +
                     "] The tensors must be those that the metadata describe:" + listed(shapes));
  }
  if (!types.empty()) {
    throw UnsupportedError("[" + file +
                           "] Every tensor needs a type that can be used:" + listed(types));
  }
}

}  // namespace gm
