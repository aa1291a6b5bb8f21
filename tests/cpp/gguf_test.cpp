// SPDX-License-Identifier: MIT
// The GGUF reader on files that the writer made, on a table of hostile ones, on every truncation
// and on every single corrupted byte of a header. Whatever the bytes, the answer is a file or a
// typed error; the sanitizers watch the rest.
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "check.h"
#include "gguf/file.h"
#include "gguf/writer.h"

namespace {

namespace fs = std::filesystem;
using Bytes = std::string;

fs::path scratch(const char* name) {
  static const fs::path folder = [] {
    std::string pattern = (fs::temp_directory_path() / "gm_gguf_XXXXXX").string();
    return fs::path(mkdtemp(pattern.data()));
  }();
  return folder / name;
}

void spill(const fs::path& path, const Bytes& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

Bytes slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void open(const Bytes& bytes) {
  const auto path = scratch("case.gguf");
  spill(path, bytes);
  const auto file = gm::gguf::File::open(path.string());
  // Touch what was promised: the first and last byte of every tensor.
  unsigned sum = 0;
  for (const auto& tensor : file->tensors()) {
    const auto data = file->bytes(tensor);
    if (!data.empty()) sum += data.front() + data.back();
  }
  CHECK(sum < 1u << 30);
}

template <class T>
Bytes raw(T value) {
  Bytes out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}
Bytes text(const Bytes& s) { return raw<uint64_t>(s.size()) + s; }
Bytes header(uint64_t tensors, uint64_t pairs, uint32_t version = 3) {
  return "GGUF" + raw(version) + raw(tensors) + raw(pairs);
}
Bytes pair(const Bytes& key, uint32_t type, const Bytes& value) {
  return text(key) + raw(type) + value;
}
Bytes tensor(const Bytes& name, std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
  Bytes out = text(name) + raw(static_cast<uint32_t>(dims.size()));
  for (const uint64_t d : dims) out += raw(d);
  return out + raw(type) + raw(offset);
}
// Pads the header to 32 bytes and adds the data section.
Bytes with_data(Bytes head, size_t bytes) {
  head.resize((head.size() + 31) / 32 * 32, '\0');
  return head + Bytes(bytes, '\1');
}

Bytes valid_file() {
  const auto path = scratch("valid.gguf");
  gm::gguf::Writer writer(path.string());
  const uint32_t blocks = 2;
  const float eps = 1e-5f;
  const uint16_t numbers[] = {1, 2, 3};
  const std::vector<std::string> tokens = {"<unk>", "", "\xe2\x96\x81hello"};
  writer.add_string("general.architecture", "llama");
  writer.add_scalar("llama.block_count", gm::gguf::ValueType::Uint32, &blocks);
  writer.add_scalar("llama.eps", gm::gguf::ValueType::Float32, &eps);
  writer.add_array("numbers", gm::gguf::ValueType::Uint16, numbers, 3);
  writer.add_strings("tokens", tokens);
  const std::array<uint64_t, 2> matrix = {64, 3};
  const std::array<uint64_t, 1> vector = {5};
  writer.declare("a.weight", "Q8_0", matrix);
  writer.declare("b.weight", "F32", vector);
  const std::vector<uint8_t> data(3 * 68, 7);
  writer.write("a.weight", std::span(data).first(100));
  writer.write("a.weight", std::span(data).subspan(100));
  writer.write("b.weight", std::span(data).first(20));
  writer.close();
  return slurp(path);
}

}  // namespace

GM_TEST(what_was_written_is_read) {
  valid_file();
  const auto file = gm::gguf::File::open(scratch("valid.gguf").string());
  CHECK_EQ(file->version(), 3u);
  CHECK_EQ(file->metadata().unsigned_value("llama.block_count").value_or(0), 2u);
  CHECK_EQ(file->metadata().find("tokens")->array.length, 3u);
  CHECK(file->metadata().find("absent") == nullptr);
  const auto* a = file->find("a.weight");
  CHECK(a != nullptr && a->cols() == 64 && a->rows() == 3 && a->bytes == 204);
  CHECK_EQ(a->type.name, "Q8_0");
  CHECK_EQ(a->offset % 32, 0u);
  CHECK_EQ(file->bytes(*file->find("b.weight"))[19], 7);
}

GM_TEST(every_truncation_is_refused) {
  const Bytes whole = valid_file();
  open(whole);
  // The tail behind the last tensor is padding; nothing else may be missing.
  const auto file = gm::gguf::File::open(scratch("valid.gguf").string());
  const auto* last = file->find("b.weight");
  for (size_t size = 0; size < last->offset + last->bytes; ++size)
    CHECK_THROWS(gm::Error, "", open(whole.substr(0, size)));
}

GM_TEST(every_corrupted_byte_is_survived) {
  const Bytes whole = valid_file();
  size_t refused = 0;
  for (size_t i = 0; i < std::min<size_t>(whole.size(), 512); ++i) {
    for (const int change : {0x01, 0x80, 0xff, 0x20}) {
      Bytes bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ change);
      try {
        open(bytes);
      } catch (const gm::Error&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 400);
}

GM_TEST(hostile_headers) {
  const uint64_t huge = uint64_t{1} << 63, most = ~uint64_t{0};
  const Bytes u32 = raw<uint32_t>(4), str = raw<uint32_t>(8), arr = raw<uint32_t>(9);
  const Bytes table[] = {
      "",
      "GGU",
      "GGML" + raw<uint32_t>(3) + Bytes(16, '\0'),
      "FUGG" + raw<uint32_t>(3) + Bytes(16, '\0'),
      header(0, 0, 0),
      header(0, 0, 1),
      header(0, 0, 4),
      header(0, 0, 0x03000000),  // big-endian 3
      header(huge, 0),
      header(0, huge),
      header(most, most),
      header(huge - 1, huge - 1) + Bytes(64, '\0'),
      header(0, 1) + raw<uint64_t>(most) + "key",
      header(0, 1) + raw<uint64_t>(huge) + "key",
      header(0, 1) + pair("", 4, raw<uint32_t>(1)),
      header(0, 1) + pair("\xff\xfe", 4, raw<uint32_t>(1)),
      header(0, 2) + pair("k", 4, raw<uint32_t>(1)) + pair("k", 4, raw<uint32_t>(1)),
      header(0, 1) + pair("k", 13, raw<uint64_t>(1)),
      header(0, 1) + pair("k", ~0u, raw<uint64_t>(1)),
      header(0, 1) + pair("k", 8, raw<uint64_t>(most)),
      header(0, 1) + pair("k", 9, u32 + raw<uint64_t>(huge)),
      header(0, 1) + pair("k", 9, u32 + raw<uint64_t>(most / 4 + 1)),
      header(0, 1) + pair("k", 9, str + raw<uint64_t>(most)),
      header(0, 1) + pair("k", 9, arr + raw<uint64_t>(most)),
      header(0, 1) + pair("k", 9, raw<uint32_t>(77) + raw<uint64_t>(0)),
      header(0, 1) + pair("general.alignment", 4, raw<uint32_t>(0)),
      header(0, 1) + pair("general.alignment", 4, raw<uint32_t>(33)),
      header(0, 1) + pair("general.alignment", 8, text("32")),
  };
  size_t row = 0;
  for (const Bytes& bytes : table) {
    const int before = gm::test::failures();
    CHECK_THROWS(gm::Error, "", open(bytes));
    if (gm::test::failures() != before)
      gm::test::fail(__FILE__, __LINE__, "row " + std::to_string(row));
    ++row;
  }
}

GM_TEST(deep_arrays_do_not_recurse_forever) {
  Bytes value;
  for (int i = 0; i < 200000; ++i) value += raw<uint32_t>(9) + raw<uint64_t>(1);
  value += raw<uint32_t>(4) + raw<uint64_t>(0);
  CHECK_THROWS(gm::Error, "", open(header(0, 1) + pair("k", 9, value)));
}

GM_TEST(hostile_tensors) {
  const uint64_t big = uint64_t{1} << 62, half = uint64_t{1} << 32;
  struct Case {
    const char* why;
    Bytes head;
  };
  const Case table[] = {
      {"zero dimension", header(1, 0) + tensor("t", {0, 4}, 0, 0)},
      {"no dimension that fits", header(1, 0) + tensor("t", {big, 4}, 0, 0)},
      {"a product that wraps to 0", header(1, 0) + tensor("t", {half, half}, 0, 0)},
      {"five dimensions", header(1, 0) + tensor("t", {1, 1, 1, 1, 1}, 0, 0)},
      {"a billion dimensions", header(1, 0) + text("t") + raw<uint32_t>(1u << 30)},
      {"rows that are no whole blocks", header(1, 0) + tensor("t", {33}, 8, 0)},
      {"removed type", header(1, 0) + tensor("t", {32}, 4, 0)},
      {"unknown type", header(1, 0) + tensor("t", {32}, 4096, 0)},
      {"offset behind the end", header(1, 0) + tensor("t", {8}, 0, 4096)},
      {"offset that wraps", header(1, 0) + tensor("t", {8}, 0, ~uint64_t{31})},
      {"misaligned", header(1, 0) + tensor("t", {8}, 0, 4)},
      {"data cut short", header(1, 0) + tensor("t", {1024}, 0, 0)},
      {"overlap", header(2, 0) + tensor("t", {16}, 0, 0) + tensor("u", {16}, 0, 32)},
      {"the same place", header(2, 0) + tensor("t", {16}, 0, 0) + tensor("u", {16}, 0, 0)},
      {"the same name", header(2, 0) + tensor("t", {8}, 0, 0) + tensor("t", {8}, 0, 32)},
      {"no name", header(1, 0) + tensor("", {8}, 0, 0)},
      {"name not UTF-8", header(1, 0) + tensor("\xc3(", {8}, 0, 0)},
  };
  open(with_data(header(2, 0) + tensor("t", {8}, 0, 0) + tensor("u", {8}, 0, 32), 64));
  for (const Case& c : table) {
    const int before = gm::test::failures();
    CHECK_THROWS(gm::Error, "", open(with_data(c.head, 128)));
    if (gm::test::failures() != before) gm::test::fail(__FILE__, __LINE__, c.why);
  }
}

GM_TEST(things_that_are_no_files) {
  CHECK_THROWS(gm::ResourceError, "", gm::gguf::File::open("/no/such/file.gguf"));
  CHECK_THROWS(gm::ResourceError, "", gm::gguf::File::open(fs::temp_directory_path().string()));
  CHECK_THROWS(gm::Error, "", gm::gguf::File::open(""));
}
