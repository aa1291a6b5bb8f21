// SPDX-License-Identifier: MIT
// type_info: formats.def as a lookup by id, name and format. Ids come from files, so an unknown one
// is an answer (TypeStatus::Unknown), not an error; callers name the tensor in theirs.
#include "formats/format.h"

#include <array>

namespace gm {
namespace {

constexpr TypeInfo kTypes[] = {
#define GM_TYPE(Name, id, values, bytes) \
  {#Name, id, values, bytes, TypeStatus::DataOnly, Format::F32, ActKind::F32},
#define GM_FORMAT(Name, id, values, bytes, Act) \
  {#Name, id, values, bytes, TypeStatus::Supported, Format::Name, ActKind::Act},
#define GM_REMOVED(Name, id) {#Name, id, 0, 0, TypeStatus::Removed, Format::F32, ActKind::F32},
#include "formats/formats.def"
};

constexpr size_t kTypeCount = std::size(kTypes);

// The list is dense and in the order of its ids, so that an id is its place.
constexpr bool ids_are_places() {
  for (size_t i = 0; i < kTypeCount; ++i) {
    if (kTypes[i].id != i) return false;
  }
  return true;
}
static_assert(ids_are_places(), "formats.def lists every id from 0 on, in order");

constexpr std::array<uint32_t, kFormatCount> kIdOfFormat = {
#define GM_FORMAT(Name, id, values, bytes, Act) id,
#include "formats/formats.def"
};

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool same_name(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

}  // namespace

TypeInfo type_info(uint32_t ggml_id) noexcept {
  if (ggml_id < kTypeCount) return kTypes[ggml_id];
  TypeInfo unknown;
  unknown.id = ggml_id;
  return unknown;
}

TypeInfo type_info(std::string_view name) noexcept {
  for (const TypeInfo& type : kTypes) {
    if (same_name(type.name, name)) return type;
  }
  return {};
}

TypeInfo type_info(Format format) noexcept {
  return kTypes[kIdOfFormat[static_cast<size_t>(format)]];
}

}  // namespace gm
