// SPDX-License-Identifier: MIT
// The ids that are no GGUF types: removed ones, and those that forks gave to types of their own.
#include "gguf/describe_type.h"

#include <string_view>

#include "formats/format.h"

namespace gm::gguf {
namespace {

struct ForeignType {
  uint32_t id;
  std::string_view name;
  std::string_view
      instead;  // a standard type of about its size; empty: none, it is not for weights
};

// ik_llama.cpp's.
constexpr ForeignType kIkTypes[] = {
    {133, "Q6_0", "Q6_K"},      {134, "IQ1_BN", "TQ1_0"},   {135, "IQ2_BN", "TQ2_0"},
    {136, "Q8_K64", ""},        {137, "IQ2_K", "IQ2_S"},    {138, "IQ3_K", "IQ3_S"},
    {139, "IQ4_K", "IQ4_NL"},   {140, "IQ5_K", "Q5_K"},     {141, "IQ6_K", "Q6_K"},
    {144, "IQ4_KS", "IQ4_XS"},  {145, "IQ2_KS", "IQ2_XS"},  {146, "IQ4_KSS", "IQ4_XS"},
    {147, "Q8_K16", ""},        {148, "Q8_K32", ""},        {149, "Q8_KR8", ""},
    {150, "Q8_K128", ""},       {151, "Q8_KV", "Q8_0"},     {152, "IQ5_KS", "Q5_K"},
    {153, "IQ2_KT", "IQ2_XS"},  {154, "IQ3_KT", "IQ3_XXS"}, {155, "IQ4_KT", "IQ4_XS"},
    {156, "IQ3_KS", "IQ3_XXS"}, {157, "IQ2_KL", "IQ2_S"},   {158, "IQ1_KT", "IQ1_M"}};

// bitnet.cpp took ids that GGUF had used before.
constexpr ForeignType kBitnetTypes[] = {
    {36, "I2_S", "TQ2_0"}, {37, "I8_S", "Q8_0"}, {38, "TL1", "TQ2_0"}};

// Variants of ik_llama.cpp with 4, 8 or 16 rows interleaved (_R4, _R8, _R16): the id of the plain
// type plus 200.
constexpr uint32_t kIkRows = 200, kIkRowsFirst = 202, kIkRowsLast = 399;

template <size_t n>
const ForeignType* find(const ForeignType (&types)[n], uint32_t id) {
  for (const ForeignType& type : types)
    if (type.id == id) return &type;
  return nullptr;
}

std::string use(std::string_view type) {
  if (type.empty()) return " Hint: use a file with standard types.";
  return " Hint: use the model's " + std::string(type) +
         " file, or quantize it again to that type.";
}

std::string describe_removed(const TypeInfo& type) {
  std::string text = "type " + std::to_string(type.id) + " (" + std::string(type.name) +
                     ") was removed from GGUF.";
  if (type.name.starts_with("Q4_0_"))
    return text + " Hint: use the model's Q4_0 file, which is repacked for this CPU on load.";
  if (const ForeignType* bitnet = find(kBitnetTypes, type.id)) {
    return text + " The bitnet.cpp fork uses the same id for its " + std::string(bitnet->name) +
           ". Hint: use the model's IQ4_NL file, or for a BitNet model a " +
           std::string(bitnet->instead) + " one.";
  }
  return text + " Hint: download a current file of the model, or convert the original again.";
}

// Empty if the id is none of theirs.
std::string describe_ik(uint32_t id) {
  const std::string name = "type " + std::to_string(id);
  constexpr std::string_view kPrivate = " is private to the ik_llama.cpp fork.";
  if (const ForeignType* type = find(kIkTypes, id))
    return name + " (" + std::string(type->name) + ")" + std::string(kPrivate) + use(type->instead);
  if (id < kIkRowsFirst || id > kIkRowsLast) return {};
  if (const ForeignType* type = find(kIkTypes, id - kIkRows)) {
    return name + " (" + std::string(type->name) + " with interleaved rows)" +
           std::string(kPrivate) + use(type->instead);
  }
  const TypeInfo plain = type_info(id - kIkRows);
  if (plain.status != TypeStatus::Supported) return name + std::string(kPrivate) + use({});
  return name + " (" + std::string(plain.name) + " with interleaved rows)" + std::string(kPrivate) +
         use(plain.name);
}

}  // namespace

std::string describe_type(uint32_t id) {
  const TypeInfo type = type_info(id);
  if (type.status == TypeStatus::Removed) return describe_removed(type);
  const std::string name = "type " + std::to_string(id);
  if (type.status != TypeStatus::Unknown) return name + " (" + std::string(type.name) + ")";
  const std::string ik = describe_ik(id);
  if (!ik.empty()) return ik;
  return name + " is not a known GGUF tensor type. Hint: the file may need a newer gristmill.";
}

}  // namespace gm::gguf
