// SPDX-License-Identifier: MIT
// The panel cache as loading sees it: which entry belongs to a file, whether it may be believed
// (panels/panel_cache.h says by which rules), and the writer that makes a new one.
#pragma once

#include <cstdint>
#include <string>

#include "gguf/file.h"
#include "panels/panel_cache.h"
#include "runtime/weight_layout.h"

namespace gm {

// What became of the cache in a load.
enum class CacheState : uint8_t {
  Off,       // not asked for
  Hit,       // the entry's stamp is known: used at once
  Compared,  // used after it was compared with the whole file
  Miss,      // packed; CacheOutcome::why
};

struct CacheOutcome {
  CacheState state = CacheState::Off;
  std::string path;  // of the entry; empty if off
  std::string why;   // of a miss
};

// Hash of everything that the panels of a file depend on; see panels/panel_cache.h.
uint64_t panel_key(const WeightLayout& weights, const gguf::File& file);
// "<folder>/<key in hex>.panels".
std::string entry_path(const std::string& folder, uint64_t key);
// The stamp of all parts as they were opened; 0 if they may have changed since, or were written so
// shortly before that a later write could carry the same time.
uint64_t source_stamp(const gguf::File& file);
// Whether some panels, others each time, are what packing the file gives.
bool sample_agrees(const WeightLayout& weights, const gguf::File& file, const uint8_t* panels);

}  // namespace gm
