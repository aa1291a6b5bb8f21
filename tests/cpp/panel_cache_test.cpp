// SPDX-License-Identifier: MIT
// Cache entries: what was written comes back, stamps are remembered, and whatever is not a whole
// entry is refused with its reason.
#include "panels/panel_cache.h"

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "check.h"
#include "panels/panel.h"

namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("gm-cache-" + std::to_string(unique()))) {
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  size_t count() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {}));
  }

 private:
  static unsigned unique() { return std::random_device()(); }
  fs::path path_;
};

std::vector<uint8_t> some_panels() {
  std::vector<uint8_t> panels((size_t{9} << 20) + 64);  // more than one step
  std::mt19937 rng(3);
  for (uint8_t& byte : panels) byte = static_cast<uint8_t>(rng());
  return panels;
}

void write(const std::string& path, const std::vector<uint8_t>& panels, uint64_t stamp = 77) {
  gm::PanelCacheWriter writer(path, {42, panels.size(), 0, "/models/a.gguf"}, stamp, panels);
  while (writer.step()) {
  }
  writer.commit();
}

uint64_t hash_of(const std::string& text, uint64_t seed = 0) {
  return gm::hash64({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, seed);
}

}  // namespace

// Values of the reference implementation (python-xxhash).
GM_TEST(xxh64) {
  CHECK_EQ(hash_of(""), 0xef46db3751d8e999u);
  CHECK_EQ(hash_of("a"), 0xd24ec4f1a98c6e5bu);
  CHECK_EQ(hash_of("abc"), 0x44bc2cf5ad770999u);
  CHECK_EQ(hash_of("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
  CHECK_EQ(hash_of(std::string(101, 'x')), 0xfb65b1d88f218076u);
  CHECK_EQ(hash_of("hello world, this is it......................", 20141025), 0x7628e3adde609a7au);
}

GM_TEST(layouts_have_fingerprints) {
  std::vector<uint64_t> all;
  for (size_t f = 0; f < gm::kFormatCount; ++f) {
    const auto format = static_cast<gm::Format>(f);
    CHECK_EQ(gm::layout_fingerprint(format), gm::layout_fingerprint(format));
    all.push_back(gm::layout_fingerprint(format));
  }
  // F16 and BF16 share a layout, and so may others; Q4_K is like none of the floats.
  CHECK(all[static_cast<size_t>(gm::Format::Q4_K)] != all[static_cast<size_t>(gm::Format::F16)]);
  CHECK(all[static_cast<size_t>(gm::Format::F32)] != all[static_cast<size_t>(gm::Format::F16)]);
}

GM_TEST(an_entry_comes_back) {
  const Folder folder;
  const std::string path = folder.file("a.panels");
  const std::vector<uint8_t> panels = some_panels();
  write(path, panels);
  CHECK_EQ(folder.count(), 1u);  // no temporary file is left
  std::string why;
  const auto entry = gm::PanelCacheEntry::open(path, &why);
  CHECK(entry != nullptr);
  CHECK_EQ(entry->info().key, 42u);
  CHECK_EQ(entry->info().panel_bytes, panels.size());
  CHECK(entry->info().model == "/models/a.gguf");
  CHECK(std::equal(panels.begin(), panels.end(), entry->panels()));
  CHECK_EQ(reinterpret_cast<uintptr_t>(entry->panels()) % 64, 0u);
}

GM_TEST(stamps_are_remembered_by_this_entry_only) {
  const Folder folder;
  const std::string path = folder.file("a.panels");
  const std::vector<uint8_t> panels = some_panels();
  write(path, panels);
  std::string why;
  const auto entry = gm::PanelCacheEntry::open(path, &why);
  CHECK(entry->knows(77));
  CHECK(!entry->knows(78));
  CHECK(!entry->knows(0));
  entry->learn(78);
  entry->learn(0);
  CHECK(entry->knows(78));  // through the map that is already there
  CHECK(!entry->knows(0));
  CHECK(gm::PanelCacheEntry::open(path, &why)->knows(78));
  // Another entry takes the name while this one is in use: its stamps are its own.
  write(path, panels, 0);
  entry->learn(79);
  CHECK(!gm::PanelCacheEntry::open(path, &why)->knows(79));
  CHECK(!gm::PanelCacheEntry::open(path, &why)->knows(77));
  CHECK(std::equal(panels.begin(), panels.end(), entry->panels()));  // the old map holds
}

GM_TEST(what_is_not_whole_is_refused) {
  const Folder folder;
  const std::string path = folder.file("a.panels");
  const std::vector<uint8_t> panels = some_panels();
  const auto refused = [&](const std::string& words) {
    std::string why;
    const bool none = gm::PanelCacheEntry::open(path, &why) == nullptr;
    return none && why.find(words) != std::string::npos;
  };
  CHECK(refused("no entry"));
  write(path, panels);
  fs::resize_file(path, 4096 + panels.size() - 1);
  CHECK(refused("size is wrong"));
  fs::resize_file(path, 100);
  CHECK(refused("too short"));
  fs::resize_file(path, 0);
  CHECK(refused("too short"));
  const auto damaged = [&](size_t offset) {
    write(path, panels);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put('\x7f');
  };
  damaged(0);
  CHECK(refused("no panel cache file"));
  damaged(8);
  CHECK(refused("another version"));
  damaged(20);  // the key
  CHECK(refused("header is damaged"));
  damaged(100);  // the path
  CHECK(refused("header is damaged"));
  fs::remove(path);
  fs::create_directory(path);
  CHECK(refused("regular file"));
}

GM_TEST(an_abandoned_writer_leaves_nothing) {
  const Folder folder;
  const std::vector<uint8_t> panels = some_panels();
  {
    gm::PanelCacheWriter writer(folder.file("a.panels"), {1, panels.size(), 0, "m"}, 0, panels);
    CHECK(writer.step());
  }
  CHECK_EQ(folder.count(), 0u);
  bool thrown = false;
  try {
    gm::PanelCacheWriter(folder.file("no/a.panels"), {1, panels.size(), 0, "m"}, 0, panels);
  } catch (const gm::ResourceError&) {
    thrown = true;
  }
  CHECK(thrown);
}
