// SPDX-License-Identifier: MIT
// Keys and stamps are chained hashes; a sample is packed again and compared byte by byte.
#include "runtime/cached_panels.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "base/hash.h"
#include "panels/panel.h"

namespace gm {
namespace {

constexpr size_t kKeyBytes = 64;       // of the start and the middle of a tensor, for the key
constexpr size_t kSampledPanels = 64;  // some milliseconds, even from a cold disk
// The coarsest clock among file systems in use (FAT) steps by 2 s.
constexpr int64_t kClockStepNs = 2'000'000'000;

std::span<const uint8_t> some(std::span<const uint8_t> bytes, size_t start) {
  return bytes.subspan(start, std::min(kKeyBytes, bytes.size() - start));
}

}  // namespace

uint64_t panel_key(const WeightLayout& weights, const gguf::File& file) {
  uint64_t key = 0;
  for (uint32_t i = 0; i < file.part_count(); ++i) {
    const std::span<const uint8_t> bytes = file.part(i).bytes();
    size_t header = bytes.size();
    for (const gguf::TensorInfo& tensor : file.tensors()) {
      if (tensor.part == i) header = std::min<size_t>(header, tensor.offset);
    }
    key = hash64_of<uint64_t>(bytes.size(), hash64(bytes.first(header), key));
  }
  for (const WeightPlace& w : weights.places) {
    if (!w.use.panels) continue;
    const std::span<const uint8_t> data = file.bytes(*w.tensor);
    const std::array<uint64_t, 4> facts = {w.tensor->part, w.tensor->offset + w.row_offset(0),
                                           w.panel_offset, layout_fingerprint(w.format())};
    key = hash64(some(data, 0), hash64_of(facts, key));
    key = hash64(some(data, data.size() / 2), key);
  }
  return key;
}

std::string entry_path(const std::string& folder, uint64_t key) {
  std::string name(16, '0');
  for (size_t i = 0; i < name.size(); ++i) name[i] = "0123456789abcdef"[key >> (60 - 4 * i) & 15];
  return folder + "/" + name + ".panels";
}

uint64_t source_stamp(const gguf::File& file) {
  uint64_t stamp = 1;
  for (size_t i = 0; i < file.part_count(); ++i) {
    const MappedFile& part = file.part(i);
    const FileIdentity& was = part.identity();
    const int64_t last_change = std::max(was.modified_ns, was.changed_ns);
    if (was == FileIdentity{} || was != MappedFile::identity_of(part.path())) return 0;
    if (part.opened_ns() - last_change < kClockStepNs) return 0;
    stamp = hash64_of(was, stamp);
  }
  return stamp;
}

bool sample_agrees(const WeightLayout& weights, const gguf::File& file, const uint8_t* panels) {
  std::minstd_rand random(std::random_device{}());
  std::vector<const WeightPlace*> packed;
  for (const WeightPlace& w : weights.places) {
    if (w.use.panels) packed.push_back(&w);
  }
  std::vector<uint8_t> again;
  for (size_t i = 0; i < kSampledPanels && !packed.empty(); ++i) {
    const WeightPlace& w = *packed[random() % packed.size()];
    const size_t bytes = panel_bytes(w.format(), w.K());
    const size_t p = random() % w.panels();
    again.resize(std::max(again.size(), bytes));
    // Packs panel p to the start of the buffer; pack_panels counts from panel 0.
    const size_t first_row = p * kPanelRows;
    const uint8_t* rows = file.bytes(*w.tensor).data() + w.row_offset(first_row);
    pack_panels(w.format(), rows, w.rows() - first_row, w.K(), again.data(), 0, 1);
    if (std::memcmp(again.data(), panels + w.panel_offset + p * bytes, bytes) != 0) return false;
  }
  return true;
}

}  // namespace gm
