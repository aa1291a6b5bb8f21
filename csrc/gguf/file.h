// SPDX-License-Identifier: MIT
// A GGUF model as it lies on disk: one file or all parts of a split one, mapped read-only and fully
// validated on opening. Views into it are good for as long as the object lives, so everything that
// uses them holds the shared pointer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "gguf/metadata.h"
#include "gguf/tensor_index.h"

namespace gm::gguf {

class File {
 public:
  // Opens the file, and the other parts if it is the first of a split model. Throws ResourceError
  // (cannot be read, parts missing: all are named), FormatError, UnsupportedError.
  static std::shared_ptr<File> open(const std::string& path);

  uint32_t version() const noexcept { return version_; }
  uint64_t alignment() const noexcept { return alignment_; }
  const Metadata& metadata() const noexcept { return parts_.front().metadata; }
  // In file order, part by part.
  const std::vector<TensorInfo>& tensors() const noexcept { return tensors_; }
  const TensorInfo* find(std::string_view name) const noexcept;  // null if there is none
  std::span<const uint8_t> bytes(const TensorInfo& tensor) const noexcept;

  size_t part_count() const noexcept { return parts_.size(); }
  const MappedFile& part(size_t i) const noexcept { return *parts_[i].map; }
  uint64_t file_bytes() const noexcept;  // all parts
  // Whether a part could not be read; see base/mapped_file.h. check() throws ResourceError.
  bool broken() const noexcept;
  void check() const;

  // Hints: the tensor's pages are needed soon, or no longer (they may be read again).
  void prefetch(const TensorInfo& tensor) const noexcept;
  void drop(const TensorInfo& tensor) const noexcept;

 private:
  struct Part {
    std::unique_ptr<MappedFile> map;
    Metadata metadata;
    std::vector<TensorInfo> tensors;
    uint32_t version;
    uint64_t alignment;
  };

  File() = default;
  static Part read_part(const std::string& path, uint32_t number);
  static Part parse(const MappedFile& map, uint32_t number);  // leaves Part::map empty
  void add_part(Part part);
  void add_other_parts(const std::string& first_path);

  std::vector<Part> parts_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> index_;
  uint32_t version_ = 0;
  uint64_t alignment_ = 0;
};

}  // namespace gm::gguf
