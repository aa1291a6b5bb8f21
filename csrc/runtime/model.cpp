// SPDX-License-Identifier: MIT
// Order of construction: the plan is checked before any thread starts or any byte is packed.
#include "runtime/model.h"

#include <utility>

#include "base/cpu_topology.h"
#include "kernels/dispatch.h"
#include "plan/validate.h"

namespace gm {
namespace {

Plan validated(Plan plan) {
  validate_structure(plan);
  return plan;
}

}  // namespace

Model::Model(std::shared_ptr<const gguf::File> file, Plan plan, const ModelOptions& options)
    : plan_(validated(std::move(plan))),
      kernels_(options.isa.empty() ? default_kernels() : kernels_for(options.isa)),
      pool_(new ThreadPool(options.threads == 0 ? default_threads().count : options.threads)),
      weights_(new Weights(plan_, std::move(file), *pool_, options.progress, options.cache)) {}

std::shared_ptr<const RopeTables> Model::rope_tables(size_t context) const {
  {
    const std::lock_guard lock(rope_mutex_);
    if (rope_tables_ != nullptr && rope_tables_->serve(plan_.ropes, context)) return rope_tables_;
  }
  auto fresh = std::make_shared<RopeTables>();
  fresh->context = context;
  for (const RopeSpec& spec : plan_.ropes) {
    const WeightId id = factors_for(spec, context);
    const float* factors = id == kNone ? nullptr : (*weights_)[id].values;
    fresh->tables.emplace_back(spec, factors, context);
  }
  return fresh;
}

void Model::keep(std::shared_ptr<const RopeTables> tables) noexcept {
  const std::lock_guard lock(rope_mutex_);
  if (rope_tables_ == nullptr || rope_tables_->context < tables->context)
    rope_tables_ = std::move(tables);
}

}  // namespace gm
