// SPDX-License-Identifier: MIT
// Opens GGUF files: header, metadata, tensor table, and the parts of a split model. What people
// commonly have in hand instead of a GGUF file is recognized and named.
#include "gguf/file.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "base/error.h"

namespace gm::gguf {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint32_t kNewestVersion = 3;
constexpr uint64_t kLeastAlignment = 8;  // from the GGUF specification
constexpr uint64_t kMostAlignment = uint64_t{1} << 24;
constexpr size_t kListed = 10;

constexpr std::string_view kSplitNumber = "split.no";
constexpr std::string_view kSplitCount = "split.count";
constexpr std::string_view kSplitTensors = "split.tensors.count";
constexpr uint64_t kMostParts = 99999;  // five digits in the name

// What the first bytes of other files look like.
struct Lookalike {
  std::string_view start;
  std::string_view what;
};
constexpr Lookalike kLookalikes[] = {
    {"version https://git-lfs", "a Git LFS pointer. Hint: run 'git lfs pull'."},
    {"PK\x03\x04", "a zip archive or PyTorch checkpoint. Hint: convert it to GGUF."},
    {"lmgg", "a pre-GGUF 'ggml' file. Hint: convert the original model to GGUF."},
    {"tjgg", "a pre-GGUF 'ggjt' file. Hint: convert the original model to GGUF."},
    {"fmgg", "a pre-GGUF 'ggmf' file. Hint: convert the original model to GGUF."},
    {"<!DOCTYPE", "an HTML page. Hint: the download link led to a web page."},
    {"<!doctype", "an HTML page. Hint: the download link led to a web page."},
    {"<html", "an HTML page. Hint: the download link led to a web page."},
};

void check_magic(Reader& reader, std::span<const uint8_t> bytes) {
  if (bytes.empty()) reader.fail("the file is empty.");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<size_t>(bytes.size(), 32));
  for (const Lookalike& other : kLookalikes) {
    if (text.starts_with(other.start)) {
      reader.fail("not a GGUF file. Got " + std::string(other.what));
    }
  }
  if (text.size() > 9 && text[8] == '{' && text.substr(4, 4) == std::string_view("\0\0\0\0", 4)) {
    reader.fail("not a GGUF file. Got what looks like safetensors. Hint: convert it to GGUF.");
  }
  if (reader.scalar<uint32_t>("the magic") != kMagic) {
    reader.fail("not a GGUF file. Got the magic " + quoted(text.substr(0, 4)) +
                ", expected 'GGUF'.");
  }
}

uint32_t read_version(Reader& reader, const std::string& path) {
  const auto version = reader.scalar<uint32_t>("the version");
  const uint32_t swapped = ((version & 0xff) << 24) | ((version & 0xff00) << 8) |
                           ((version >> 8) & 0xff00) | (version >> 24);
  if (version == 0) reader.fail("the GGUF version is 0.");
  if ((version & 0xffff) == 0 && swapped <= 0xffff) {
    throw UnsupportedError("[" + path + "] big-endian GGUF files are not supported. Got version " +
                           std::to_string(swapped) + " in big-endian order.");
  }
  if (version == 1) {
    throw UnsupportedError("[" + path +
                           "] GGUF version 1 is not supported. Expected version 2 or 3. Hint: "
                           "convert the model again.");
  }
  if (version > kNewestVersion) {
    throw UnsupportedError("[" + path + "] unknown GGUF version. Got " + std::to_string(version) +
                           ", expected 2 or 3. Hint: the file may need a newer gristmill.");
  }
  return version;
}

uint64_t read_alignment(const Metadata& metadata) {
  const auto value = metadata.unsigned_value("general.alignment");
  if (!value) return kDefaultAlignment;
  if (!std::has_single_bit(*value) || *value < kLeastAlignment || *value > kMostAlignment) {
    metadata.reader_at(*metadata.find("general.alignment"))
        .fail("the alignment is a power of two from 8 to 16777216. Got " + std::to_string(*value) +
              ".");
  }
  return *value;
}

// The name of part `number` (from 0) of `count`: PREFIX-00001-of-00003.gguf.
std::string part_path(const std::string& prefix, uint64_t number, uint64_t count) {
  const auto five = [](uint64_t n) {
    std::string digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  return prefix + "-" + five(number + 1) + "-of-" + five(count) + ".gguf";
}

// PREFIX of `path` if it is named as that part; empty if it is not.
std::optional<std::string> split_prefix(const std::string& path, uint64_t number, uint64_t count) {
  const std::string suffix = part_path("", number, count);
  if (!path.ends_with(suffix)) return std::nullopt;
  return path.substr(0, path.size() - suffix.size());
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kListed); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > kListed) text += " and " + std::to_string(names.size() - kListed) + " more";
  return text;
}

void check_part(const std::string& path, const Metadata& metadata, uint64_t number,
                uint64_t count) {
  const auto got_number = metadata.unsigned_value(kSplitNumber);
  const auto got_count = metadata.unsigned_value(kSplitCount);
  if (got_number != number || got_count != count) {
    const auto text = [](std::optional<uint64_t> n) { return n ? std::to_string(*n) : "none"; };
    throw FormatError("[" + path + "] this is not the part that its name says. Got split.no " +
                      text(got_number) + " and split.count " + text(got_count) + ", expected " +
                      std::to_string(number) + " and " + std::to_string(count) + ".");
  }
}

}  // namespace

File::Part File::parse(const MappedFile& map, uint32_t number) {
  const std::span<const uint8_t> bytes = map.bytes();
  Reader reader(bytes, map.path());
  check_magic(reader, bytes);
  const uint32_t version = read_version(reader, map.path());
  const auto tensor_count = reader.scalar<uint64_t>("the number of tensors");
  const auto key_count = reader.scalar<uint64_t>("the number of metadata keys");
  Metadata metadata(bytes, map.path(), reader, key_count);
  const uint64_t alignment = read_alignment(metadata);
  std::vector<TensorInfo> tensors = read_tensors(reader, tensor_count, alignment, number);
  return Part{nullptr, std::move(metadata), std::move(tensors), version, alignment};
}

File::Part File::read_part(const std::string& path, uint32_t number) {
  auto map = std::make_unique<MappedFile>(path);
  try {
    Part part = parse(*map, number);
    map->check();
    part.map = std::move(map);
    return part;
  } catch (const Error&) {
    map->check();  // what was wrong may be the zeros in place of bytes that are gone
    throw;
  }
}

void File::add_part(Part part) {
  for (const TensorInfo& tensor : part.tensors) {
    if (!index_.emplace(tensor.name, tensors_.size()).second) {
      throw FormatError("[" + part.map->path() + ", tensor " + quoted(tensor.name) +
                        "] the tensor is in an earlier part too.");
    }
    tensors_.push_back(tensor);
  }
  part.tensors = {};
  parts_.push_back(std::move(part));
}

void File::add_other_parts(const std::string& first_path) {
  const Metadata& first = metadata();
  const uint64_t count = first.unsigned_value(kSplitCount).value_or(1);
  if (count <= 1) return;
  const auto fail = [&](const std::string& why) {
    throw FormatError("[" + first_path + "] " + why);
  };
  if (count > kMostParts) {
    fail("a split model has at most 99999 parts. Got " + std::to_string(count) + ".");
  }
  const uint64_t number = first.unsigned_value(kSplitNumber).value_or(0);
  if (number != 0) {
    const auto prefix = number < count ? split_prefix(first_path, number, count) : std::nullopt;
    fail("a split model is opened by its first part. Got part " + std::to_string(number + 1) +
         " of " + std::to_string(count) + "." +
         (prefix ? " Hint: open " + part_path(*prefix, 0, count) + "." : ""));
  }
  const auto prefix = split_prefix(first_path, 0, count);
  if (!prefix) {
    fail("this is the first of " + std::to_string(count) +
         " parts, but its name does not say so, and the others cannot be found. Expected " +
         part_path("NAME", 0, count) + ".");
  }
  std::vector<std::string> missing;
  for (uint64_t i = 1; i < count; ++i) {
    std::string path = part_path(*prefix, i, count);
    if (!MappedFile::exists(path)) missing.push_back(std::move(path));
  }
  if (!missing.empty()) {
    throw ResourceError("[" + first_path + "] " + std::to_string(missing.size()) + " of " +
                        std::to_string(count) + " parts are missing: " + joined(missing) + ".");
  }
  for (uint64_t i = 1; i < count; ++i) {
    const std::string path = part_path(*prefix, i, count);
    Part part = read_part(path, static_cast<uint32_t>(i));
    check_part(path, part.metadata, i, count);
    add_part(std::move(part));
  }
  const auto expected = parts_.front().metadata.unsigned_value(kSplitTensors);
  if (expected && *expected != tensors_.size()) {
    fail("the parts do not hold the tensors that split.tensors.count says. Got " +
         std::to_string(tensors_.size()) + ", expected " + std::to_string(*expected) + ".");
  }
}

std::shared_ptr<File> File::open(const std::string& path) {
  std::shared_ptr<File> file(new File());
  file->add_part(read_part(path, 0));
  file->version_ = file->parts_.front().version;
  file->alignment_ = file->parts_.front().alignment;
  file->add_other_parts(path);
  return file;
}

const TensorInfo* File::find(std::string_view name) const noexcept {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

std::span<const uint8_t> File::bytes(const TensorInfo& tensor) const noexcept {
  return parts_[tensor.part].map->bytes().subspan(tensor.offset, tensor.bytes);
}

uint64_t File::file_bytes() const noexcept {
  uint64_t total = 0;
  for (const Part& part : parts_) total += part.map->size();
  return total;
}

bool File::broken() const noexcept {
  return std::any_of(parts_.begin(), parts_.end(), [](const Part& p) { return p.map->broken(); });
}

void File::check() const {
  for (const Part& part : parts_) part.map->check();
}

void File::prefetch(const TensorInfo& tensor) const noexcept {
  parts_[tensor.part].map->prefetch(tensor.offset, tensor.bytes);
}

void File::drop(const TensorInfo& tensor) const noexcept {
  parts_[tensor.part].map->drop(tensor.offset, tensor.bytes);
}

}  // namespace gm::gguf
