// SPDX-License-Identifier: MIT
// Reads and validates a tensor table: first each entry on its own, then, once the start of the data
// section is known, the byte ranges together.
#include "gguf/tensor_index.h"

#include <algorithm>
#include <unordered_set>

#include "base/check.h"
#include "base/error.h"
#include "gguf/describe_type.h"

namespace gm::gguf {
namespace {

constexpr uint64_t kLeastEntry = 8 + 1 + 4 + 4 + 8;  // name, dimension count, type, offset
constexpr uint64_t kMaxNameBytes = 65535;
constexpr size_t kMaxProblems = 10;

// What is wrong with a file, in the order found.
class Problems {
 public:
  void format(std::string text) {
    broken_ = true;
    add(std::move(text));
  }
  void unsupported(std::string text) { add(std::move(text)); }

  void throw_if_any() const {
    if (total_ == 0) return;
    std::string text = texts_.front();
    if (total_ > 1) {
      text = std::to_string(total_) + " problems in the tensor table:";
      for (const std::string& line : texts_) text += "\n  " + line;
      if (total_ > texts_.size()) {
        text += "\n  and " + std::to_string(total_ - texts_.size()) + " more.";
      }
    }
    if (broken_) throw FormatError(text);
    throw UnsupportedError(text);
  }

 private:
  void add(std::string text) {
    if (texts_.size() < kMaxProblems) texts_.push_back(std::move(text));
    ++total_;
  }

  std::vector<std::string> texts_;
  size_t total_ = 0;
  bool broken_ = false;
};

struct Entry {
  TensorInfo info;
  uint64_t place = 0;     // of the entry in the file, for messages
  uint64_t relative = 0;  // offset into the data section
  bool sized = false;     // type and shape are good
};

std::string in_tensor(const Reader& reader, const Entry& entry) {
  Reader at = reader;
  at.set_item("tensor", entry.info.name);
  return at.where(entry.place);
}

// Name, dimensions, type and offset as they stand; throws FormatError where the entry itself cannot
// be followed to its end.
Entry read_raw(Reader& reader, uint32_t* type_id) {
  Entry entry;
  entry.place = reader.offset();
  reader.set_item({}, {});
  entry.info.name = reader.string("a tensor name");
  reader.set_item("tensor", entry.info.name);
  const auto n_dims = reader.scalar<uint32_t>("the number of dimensions");
  if (n_dims > kMaxDims) {
    reader.fail("a tensor has at most 4 dimensions. Got " + std::to_string(n_dims) + ".");
  }
  entry.info.n_dims = n_dims;
  for (uint32_t i = 0; i < n_dims; ++i) {
    entry.info.dims[i] = reader.scalar<uint64_t>("a dimension");
  }
  *type_id = reader.scalar<uint32_t>("a tensor type");
  entry.relative = reader.scalar<uint64_t>("a tensor offset");
  return entry;
}

void check_entry(const Reader& reader, uint32_t type_id, Entry& entry, Problems& problems) {
  TensorInfo& info = entry.info;
  const std::string where = in_tensor(reader, entry);
  if (info.name.empty()) problems.format(where + "a tensor name is empty.");
  if (info.name.size() > kMaxNameBytes) {
    problems.format(where + "a tensor name is longer than 65535 bytes.");
  }
  if (!is_utf8(info.name)) problems.format(where + "a tensor name is not valid UTF-8.");
  info.type = type_info(type_id);
  if (info.type.status == TypeStatus::Unknown || info.type.status == TypeStatus::Removed) {
    problems.unsupported(where + describe_type(type_id));
    return;
  }
  std::string why;
  info.bytes = tensor_bytes(info.type, info.dims, &why);
  entry.sized = info.bytes != 0;
  if (!entry.sized) problems.format(where + why);
}

void place_entry(const Reader& reader, uint64_t data_start, uint64_t file_size, uint64_t alignment,
                 Entry& entry, Problems& problems) {
  const std::string where = in_tensor(reader, entry);
  if (entry.relative % alignment != 0) {
    entry.sized = false;
    problems.format(where + "the offset is not aligned. Got " + std::to_string(entry.relative) +
                    ", expected a multiple of " + std::to_string(alignment) + ".");
    return;
  }
  uint64_t end = 0;
  if (!checked_add(data_start, entry.relative, &entry.info.offset) ||
      !checked_add(entry.info.offset, entry.info.bytes, &end) || end > file_size) {
    entry.sized = false;
    problems.format(where + "the tensor's bytes lie outside the file. Got " +
                    std::to_string(entry.info.bytes) + " bytes at " + std::to_string(data_start) +
                    " + " + std::to_string(entry.relative) + ", the file ends at " +
                    std::to_string(file_size) + ". Hint: the download may be incomplete.");
  }
}

void check_overlap(const Reader& reader, const std::vector<Entry>& entries, Problems& problems) {
  std::vector<const Entry*> order;
  order.reserve(entries.size());
  for (const Entry& entry : entries) {
    if (entry.sized) order.push_back(&entry);
  }
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return a->info.offset != b->info.offset ? a->info.offset < b->info.offset : a->place < b->place;
  });
  const Entry* widest = nullptr;  // of those before, the one that reaches furthest
  for (const Entry* entry : order) {
    if (widest != nullptr && entry->info.offset < widest->info.offset + widest->info.bytes) {
      problems.format(in_tensor(reader, *entry) + "the tensor's bytes overlap those of " +
                      quoted(widest->info.name) + ". Got the offset " +
                      std::to_string(entry->info.offset) + " within [" +
                      std::to_string(widest->info.offset) + ", " +
                      std::to_string(widest->info.offset + widest->info.bytes) + ").");
    }
    if (widest == nullptr ||
        entry->info.offset + entry->info.bytes > widest->info.offset + widest->info.bytes) {
      widest = entry;
    }
  }
}

}  // namespace

uint64_t tensor_bytes(const TypeInfo& type, const std::array<uint64_t, kMaxDims>& dims,
                      std::string* why) {
  uint64_t rows = 1;
  uint64_t bytes = 0;
  const std::string shape = "[" + std::to_string(dims[0]) + ", " + std::to_string(dims[1]) + ", " +
                            std::to_string(dims[2]) + ", " + std::to_string(dims[3]) + "]";
  if (std::find(dims.begin(), dims.end(), uint64_t{0}) != dims.end()) {
    *why = "a dimension is zero. Got " + shape + ".";
    return 0;
  }
  if (dims[0] % type.block_values != 0) {
    *why = "the row length is not a multiple of the " + std::string(type.name) + " block of " +
           std::to_string(type.block_values) + " values. Got " + shape + ".";
    return 0;
  }
  if (!checked_mul(dims[1], dims[2], &rows) || !checked_mul(rows, dims[3], &rows) ||
      !checked_mul(dims[0] / type.block_values, type.block_bytes, &bytes) ||
      !checked_mul(bytes, rows, &bytes)) {
    *why = "the dimensions multiply to more than 2^63 bytes. Got " + shape + ".";
    return 0;
  }
  return bytes;
}

std::vector<TensorInfo> read_tensors(Reader& reader, uint64_t count, uint64_t alignment,
                                     uint32_t part) {
  const uint64_t file_size = reader.offset() + reader.remaining();
  if (count > reader.remaining() / kLeastEntry) {
    reader.fail("the number of tensors exceeds the file. Got " + std::to_string(count) +
                " tensors, " + std::to_string(reader.remaining()) + " bytes are left.");
  }
  Problems problems;
  std::vector<Entry> entries;
  std::unordered_set<std::string_view> names;
  try {
    for (uint64_t i = 0; i < count; ++i) {
      uint32_t type_id = 0;
      Entry entry = read_raw(reader, &type_id);
      entry.info.part = part;
      check_entry(reader, type_id, entry, problems);
      if (!names.insert(entry.info.name).second) {
        problems.format(in_tensor(reader, entry) + "the tensor occurs twice.");
      }
      entries.push_back(entry);
    }
  } catch (const FormatError& error) {  // the table cannot be followed further
    problems.format(error.what());
    problems.throw_if_any();
  }
  reader.set_item({}, {});
  uint64_t data_start = 0;
  if (!checked_align(reader.offset(), alignment, &data_start))
    reader.fail("the file is too large.");
  for (Entry& entry : entries) {
    if (entry.sized) place_entry(reader, data_start, file_size, alignment, entry, problems);
  }
  check_overlap(reader, entries, problems);
  problems.throw_if_any();
  std::vector<TensorInfo> tensors;
  tensors.reserve(entries.size());
  for (const Entry& entry : entries) tensors.push_back(entry.info);
  return tensors;
}

}  // namespace gm::gguf
