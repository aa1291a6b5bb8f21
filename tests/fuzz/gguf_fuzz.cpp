// SPDX-License-Identifier: MIT
// Any bytes as a GGUF file: opening gives a file all of which can be read, or a gm::Error. The
// mutator knows the layout: it sets fields to edge values, and copies, drops and moves whole pairs
// and tensor entries with the counts in step, so that damage lies behind the first check.
#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <span>

#include "base/error.h"
#include "gguf/value_scan.h"
#include "gguf_fields.h"
#include "memory_file.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using gm::fuzz::Field;
using gm::fuzz::Fields;
using gm::fuzz::Span;

constexpr size_t kTensorCountAt = 8, kPairCountAt = 16;
constexpr std::array<uint64_t, 24> kEdges = {
    0,          1,           2,          3,          4,          8,          9,          12,
    13,         31,          32,         64,         255,        256,        0x7fffffff, 0x80000000,
    0xffffffff, 0x100000000, 1ull << 61, 1ull << 62, ~0ull >> 1, 1ull << 63, ~0ull - 31, ~0ull};

void set_field(uint8_t* data, const Field& field, std::minstd_rand& random) {
  uint64_t value = 0;
  std::memcpy(&value, data + field.offset, field.size);
  switch (random() % 4) {
    case 0:
      value = kEdges[random() % kEdges.size()];
      break;
    case 1:
      value += random() % 2 == 0 ? 1 : ~uint64_t{0};
      break;
    case 2:
      value ^= uint64_t{1} << random() % (8 * field.size);
      break;
    default:
      value = random() % 64;
  }
  std::memcpy(data + field.offset, &value, field.size);
}

void count(uint8_t* data, size_t at, uint64_t change) {
  uint64_t value = 0;
  std::memcpy(&value, data + at, sizeof value);
  value += change;
  std::memcpy(data + at, &value, sizeof value);
}

// Copies or drops a pair or an entry; returns the new size.
size_t change_items(uint8_t* data, size_t size, size_t max_size, const std::vector<Span>& items,
                    size_t count_at, std::minstd_rand& random) {
  const Span item = items[random() % items.size()];
  const size_t length = item.end - item.begin;
  if (random() % 2 == 0) {
    std::memmove(data + item.begin, data + item.end, size - item.end);
    count(data, count_at, ~uint64_t{0});
    return size - length;
  }
  if (size + length > max_size) return size;
  std::memmove(data + item.end, data + item.begin, size - item.begin);
  if (length > 9) data[item.begin + 8] ^= static_cast<uint8_t>(random() % 4);  // of the name
  count(data, count_at, 1);
  return size + length;
}

volatile uint64_t sink = 0;

void read_all(const gm::gguf::File& file) {
  static gm::ThreadPool pool(1);
  for (const gm::gguf::MetaEntry& entry : file.metadata().entries()) {
    gm::gguf::Reader reader = file.metadata().reader_at(entry);
    if (entry.type != gm::gguf::ValueType::Array) gm::gguf::skip_value(reader, entry.type);
    if (file.metadata().find(entry.key) == nullptr) __builtin_trap();
  }
  for (const gm::gguf::TensorInfo& tensor : file.tensors()) {
    const std::span<const uint8_t> bytes = file.bytes(tensor);
    if (bytes.empty() || file.find(tensor.name) == nullptr) __builtin_trap();
    sink = sink + bytes.front() + bytes.back();
    sink = sink + gm::gguf::scan_values(file, tensor, pool, {}).nans;
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  std::minstd_rand random(seed);
  const Fields fields(data, size);
  const bool has_header = size >= 24 && !fields.all.empty();
  switch (has_header ? random() % 8 : 0) {
    case 1:
    case 2:
    case 3:
    case 4:
      for (unsigned n = 1 + random() % 3; n > 0; --n)
        set_field(data, fields.all[random() % fields.all.size()], random);
      return size;
    case 5:
      if (!fields.pairs.empty())
        return change_items(data, size, max_size, fields.pairs, kPairCountAt, random);
      break;
    case 6:
      if (!fields.tensors.empty())
        return change_items(data, size, max_size, fields.tensors, kTensorCountAt, random);
      break;
    default:
      break;
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const gm::fuzz::MemoryFile memory;
  memory.fill(data, size);
  try {
    read_all(*gm::gguf::File::open(memory.path()));
  } catch (const gm::Error&) {
  }
  return 0;
}
