// SPDX-License-Identifier: MIT
// The header is one page. Its checksum covers everything but the stamps behind it, which are single
// words that are overwritten in place; each is mixed with the entry's nonce, so a stamp that lands
// in another entry of the same name means nothing there.
#include "panels/panel_cache.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

#include "base/error.h"
#include "base/hash.h"

namespace gm {
namespace {

constexpr char kMagic[8] = {'G', 'M', 'P', 'A', 'N', 'E', 'L', 'S'};
constexpr uint64_t kVersion = 1;
constexpr size_t kHeaderBytes = 4096;  // a page, so that the panels behind it are aligned
constexpr size_t kModelBytes = 3520;
constexpr size_t kStamps = 64;
// Linux keeps a write that covers a huge page of the file as one, and maps it as one: decoding from
// small pages was 6 to 10 % slower.
constexpr size_t kHugeBytes = size_t{2} << 20;
constexpr int kWritesPerStep = 4;

struct Header {
  char magic[8];
  uint64_t version;
  uint64_t key;
  uint64_t panel_bytes;
  uint64_t nonce;
  char model[kModelBytes];  // ends with a zero
  uint64_t checksum;        // of everything before it
  uint64_t stamps[kStamps];
};
constexpr size_t kStampsAt = offsetof(Header, stamps);
static_assert(sizeof(Header) == kStampsAt + kStamps * 8 && sizeof(Header) <= kHeaderBytes);

uint64_t checksum_of(const Header& header) noexcept {
  return hash64({reinterpret_cast<const uint8_t*>(&header), offsetof(Header, checksum)});
}

uint64_t mixed(uint64_t stamp, uint64_t nonce) noexcept { return hash64_of(stamp, nonce); }

// What is wrong with a header; null if nothing is.
const char* fault_of(const Header& header, uint64_t file_bytes) noexcept {
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return "it is no panel cache file";
  if (header.version != kVersion) return "another version of gristmill wrote it";
  if (header.checksum != checksum_of(header)) return "its header is damaged";
  if (header.panel_bytes != file_bytes - kHeaderBytes) return "its size is wrong";
  return nullptr;
}

}  // namespace

std::unique_ptr<PanelCacheEntry> PanelCacheEntry::open(const std::string& path, std::string* why) {
  *why = "there was no entry";
  if (!MappedFile::exists(path)) return nullptr;
  try {
    std::unique_ptr<PanelCacheEntry> entry(new PanelCacheEntry(path));
    Header header;
    const char* fault = "it is too short";
    if (entry->map_.size() >= kHeaderBytes) {
      std::memcpy(&header, entry->map_.bytes().data(), sizeof header);
      fault = fault_of(header, entry->map_.size());
    }
    if (fault != nullptr) {
      *why = std::string("the entry was not used: ") + fault;
      return nullptr;
    }
    header.model[kModelBytes - 1] = '\0';
    entry->info_ = {header.key, header.panel_bytes, entry->map_.size(), header.model};
    entry->nonce_ = header.nonce;
    entry->map_.prefer_huge_pages();
    return entry;
  } catch (const ResourceError& error) {
    *why = error.what();
    return nullptr;
  }
}

const uint8_t* PanelCacheEntry::panels() const noexcept {
  return map_.bytes().data() + kHeaderBytes;
}

bool PanelCacheEntry::knows(uint64_t stamp) const noexcept {
  uint64_t stamps[kStamps];
  std::memcpy(stamps, map_.bytes().data() + kStampsAt, sizeof stamps);
  return stamp != 0 &&
         std::find(stamps, stamps + kStamps, mixed(stamp, nonce_)) != stamps + kStamps;
}

void PanelCacheEntry::learn(uint64_t stamp) const noexcept {
  if (stamp == 0) return;
  const uint64_t word = mixed(stamp, nonce_);
  try {
    std::fstream file(map_.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(kStampsAt + word % kStamps * 8));
    file.write(reinterpret_cast<const char*>(&word), sizeof word);
  } catch (...) {  // the next load compares again, that is all
  }
}

PanelCacheWriter::PanelCacheWriter(const std::string& path, const PanelCacheInfo& info,
                                   uint64_t stamp, std::span<const uint8_t> panels)
    : writer_(path), left_(panels) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.key = info.key;
  header.panel_bytes = panels.size();
  std::random_device random;
  header.nonce = static_cast<uint64_t>(random()) << 32 | random();
  std::memcpy(header.model, info.model.data(), std::min(info.model.size(), kModelBytes - 1));
  header.checksum = checksum_of(header);
  if (stamp != 0) {
    const uint64_t word = mixed(stamp, header.nonce);
    header.stamps[word % kStamps] = word;
  }
  uint8_t page[kHeaderBytes] = {};
  std::memcpy(page, &header, sizeof header);
  writer_.write(page, sizeof page);
}

bool PanelCacheWriter::step() {
  for (int i = 0; i < kWritesPerStep && !left_.empty(); ++i) {
    const size_t count = std::min<size_t>(left_.size(), kHugeBytes - writer_.offset() % kHugeBytes);
    writer_.write(left_.data(), count);
    left_ = left_.subspan(count);
  }
  return !left_.empty();
}

}  // namespace gm
