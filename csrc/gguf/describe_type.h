// SPDX-License-Identifier: MIT
// What a tensor type id in a file means, in words: the type's name and, where it cannot be read,
// what it is and what to do about it.
#pragma once

#include <cstdint>
#include <string>

namespace gm::gguf {

// "type 12 (Q4_K)", and for removed, foreign or unknown ids a sentence and a hint.
std::string describe_type(uint32_t id);

}  // namespace gm::gguf
