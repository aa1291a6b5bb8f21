// SPDX-License-Identifier: MIT
// The GGUF v3 writer. Its rules are those of the reader and, where stricter, of llama.cpp (tensor
// names below 64 bytes), so that what is written can be read everywhere.
#include "gguf/writer.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "base/error.h"
#include "gguf/describe_type.h"

namespace gm::gguf {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint32_t kVersion = 3;
constexpr size_t kMaxNameBytes = 63;  // llama.cpp keeps 64 with the NUL
constexpr size_t kMaxKeyBytes = 65535;
constexpr uint64_t kLeastAlignment = 8;
constexpr uint64_t kMostAlignment = uint64_t{1} << 24;

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void append_string(std::string& out, std::string_view text) {
  append<uint64_t>(out, text.size());
  out.append(text);
}

}  // namespace

Writer::Writer(const std::string& path, uint64_t alignment) : file_(path), alignment_(alignment) {
  if (!std::has_single_bit(alignment) || alignment < kLeastAlignment ||
      alignment > kMostAlignment) {
    fail("", "the alignment is a power of two from 8 to 16777216. Got " +
                 std::to_string(alignment) + ".");
  }
  if (alignment != kDefaultAlignment) {
    begin_pair("general.alignment", ValueType::Uint32);
    append(pairs_, static_cast<uint32_t>(alignment));
  }
}

void Writer::fail(const std::string& item, const std::string& rule) const {
  throw FormatError("[" + file_.path() + (item.empty() ? "" : ", ") + item + "] " + rule);
}

void Writer::require_header(const std::string& what) const {
  if (state_ != State::Header) {
    fail(what, state_ == State::Closed ? "the writer is closed."
                                       : "keys and tensors are declared before the first bytes.");
  }
}

void Writer::begin_pair(std::string_view key, ValueType type) {
  const std::string item = "key " + quoted(key);
  require_header(item);
  if (key.empty()) fail(item, "a key is empty.");
  if (key.size() > kMaxKeyBytes) fail(item, "a key is longer than 65535 bytes.");
  if (!is_utf8(key)) fail(item, "a key is not valid UTF-8.");
  if (!names_.insert("k" + std::string(key)).second) fail(item, "the key was added already.");
  append_string(pairs_, key);
  append(pairs_, static_cast<uint32_t>(type));
  ++pair_count_;
}

void Writer::add_scalar(std::string_view key, ValueType type, const void* value) {
  if (value_size(type) == 0) fail("key " + quoted(key), "the value is not a scalar.");
  begin_pair(key, type);
  pairs_.append(static_cast<const char*>(value), value_size(type));
}

void Writer::add_string(std::string_view key, std::string_view value) {
  begin_pair(key, ValueType::String);
  append_string(pairs_, value);
}

void Writer::add_array(std::string_view key, ValueType element, const void* values,
                       uint64_t count) {
  uint64_t bytes = 0;
  if (value_size(element) == 0 || !checked_mul(count, value_size(element), &bytes)) {
    fail("key " + quoted(key), "the array is not one of scalars.");
  }
  begin_pair(key, ValueType::Array);
  append(pairs_, static_cast<uint32_t>(element));
  append(pairs_, count);
  pairs_.append(static_cast<const char*>(values), static_cast<size_t>(bytes));
}

void Writer::add_strings(std::string_view key, std::span<const std::string> values) {
  begin_pair(key, ValueType::Array);
  append(pairs_, static_cast<uint32_t>(ValueType::String));
  append<uint64_t>(pairs_, values.size());
  for (const std::string& value : values) append_string(pairs_, value);
}

void Writer::declare(std::string_view name, std::string_view type_name,
                     std::span<const uint64_t> dims) {
  const std::string item = "tensor " + quoted(name);
  require_header(item);
  if (name.empty() || name.size() > kMaxNameBytes || !is_utf8(name)) {
    fail(item, "a tensor name is UTF-8 of 1 to 63 bytes. Got " + std::to_string(name.size()) + ".");
  }
  Declared tensor{
      std::string(name), type_info(type_name), static_cast<uint32_t>(dims.size()), {1, 1, 1, 1}, 0,
      data_bytes_};
  const std::string where = "[" + file_.path() + ", " + item + "] ";
  if (tensor.type.status == TypeStatus::Unknown) {
    throw UnsupportedError(where + "unknown tensor type. Got " + quoted(type_name) + ".");
  }
  if (tensor.type.status == TypeStatus::Removed) {
    throw UnsupportedError(where + describe_type(tensor.type.id));
  }
  if (dims.size() > kMaxDims) {
    throw ShapeError(where + "a tensor has at most 4 dimensions. Got " +
                     std::to_string(dims.size()) + ".");
  }
  std::copy(dims.begin(), dims.end(), tensor.dims.begin());
  std::string why;
  tensor.bytes = tensor_bytes(tensor.type, tensor.dims, &why);
  if (tensor.bytes == 0) throw ShapeError(where + why);
  uint64_t end = 0;
  if (!checked_add(tensor.offset, tensor.bytes, &end) || !checked_align(end, alignment_, &end)) {
    throw ShapeError(where + "the tensors take more than 2^63 bytes.");
  }
  if (!names_.insert("t" + tensor.name).second) fail(item, "the tensor was declared already.");
  data_bytes_ = end;
  tensors_.push_back(std::move(tensor));
}

void Writer::pad() {
  static constexpr std::array<uint8_t, 4096> kZeros{};
  uint64_t end = 0;
  if (!checked_align(file_.offset(), alignment_, &end)) fail("", "the file is too large.");
  while (file_.offset() < end) {
    file_.write(kZeros.data(), static_cast<size_t>(std::min<uint64_t>(end - file_.offset(), 4096)));
  }
}

void Writer::write_header() {
  std::string head;
  append(head, kMagic);
  append(head, kVersion);
  append<uint64_t>(head, tensors_.size());
  append(head, pair_count_);
  file_.write(head.data(), head.size());
  file_.write(pairs_.data(), pairs_.size());
  head.clear();
  for (const Declared& tensor : tensors_) {
    append_string(head, tensor.name);
    append(head, tensor.n_dims);
    for (uint32_t i = 0; i < tensor.n_dims; ++i) append(head, tensor.dims[i]);
    append(head, tensor.type.id);
    append(head, tensor.offset);
  }
  file_.write(head.data(), head.size());
  if (!tensors_.empty()) pad();
  pairs_ = {};
  state_ = State::Data;
}

void Writer::write(std::string_view name, std::span<const uint8_t> data) {
  const std::string item = "tensor " + quoted(name);
  if (state_ == State::Closed) fail(item, "the writer is closed.");
  const std::string where = "[" + file_.path() + ", " + item + "] ";
  if (current_ == tensors_.size() || tensors_[current_].name != name) {
    const std::string expected =
        current_ == tensors_.size() ? "no more" : quoted(tensors_[current_].name);
    throw ShapeError(where + "tensors are written in the order of declaration. Expected " +
                     expected + ".");
  }
  const Declared& tensor = tensors_[current_];
  if (data.size() > tensor.bytes - written_) {
    throw ShapeError(where + "too many bytes. Got " + std::to_string(written_) + " + " +
                     std::to_string(data.size()) + ", expected " + std::to_string(tensor.bytes) +
                     ".");
  }
  if (state_ == State::Header) write_header();
  file_.write(data.data(), data.size());
  written_ += data.size();
  if (written_ == tensor.bytes) {
    pad();
    ++current_;
    written_ = 0;
  }
}

void Writer::close() {
  if (state_ == State::Closed) return;
  if (current_ != tensors_.size()) {
    const Declared& tensor = tensors_[current_];
    throw ShapeError("[" + file_.path() + ", tensor " + quoted(tensor.name) +
                     "] the tensor is incomplete. Got " + std::to_string(written_) +
                     " bytes, expected " + std::to_string(tensor.bytes) + ".");
  }
  if (state_ == State::Header) write_header();
  file_.commit();
  state_ = State::Closed;
}

void Writer::abort() noexcept {
  file_.abort();
  state_ = State::Closed;
}

}  // namespace gm::gguf
