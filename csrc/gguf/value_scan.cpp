// SPDX-License-Identifier: MIT
// Rows are whole blocks, so a tensor is one run of blocks: it is cut into pieces of equal size with
// no regard for rows, and a row of any length costs no memory.
#include "gguf/value_scan.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

namespace gm::gguf {
namespace {

constexpr uint64_t kPieceValues = 4096;    // a multiple of every block; 16 KiB decoded
constexpr uint64_t kSegmentPieces = 4096;  // between two calls of progress: some milliseconds
constexpr uint64_t kNowhere = ~uint64_t{0};

struct Piece {
  uint64_t nans = 0, infinities = 0;
  uint64_t first_bad = kNowhere;
  float largest = 0;
  uint64_t largest_at = 0;
};

Piece look_at(const float* values, uint64_t count, uint64_t first) noexcept {
  Piece piece;
  for (uint64_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(values[i]);
    if (!std::isfinite(magnitude)) {
      ++(std::isnan(magnitude) ? piece.nans : piece.infinities);
      piece.first_bad = std::min(piece.first_bad, first + i);
    } else if (magnitude > piece.largest) {
      piece.largest = magnitude;
      piece.largest_at = first + i;
    }
  }
  return piece;
}

struct Job {
  DecodeRow decode;
  const uint8_t* blocks;
  const TensorInfo* tensor;
  uint64_t values;                           // of the tensor
  uint64_t end;                              // piece after the segment
  std::vector<Piece>* pieces;                // of the tensor
  std::vector<std::vector<float>>* decoded;  // per worker: [kPieceValues]
  std::atomic<uint64_t> next;
};

void scan_pieces(void* context, size_t worker) noexcept {
  auto& job = *static_cast<Job*>(context);
  float* values = (*job.decoded)[worker].data();
  const TypeInfo& type = job.tensor->type;
  for (uint64_t p; (p = job.next.fetch_add(1, std::memory_order_relaxed)) < job.end;) {
    const uint64_t first = p * kPieceValues;
    const uint64_t count = std::min(kPieceValues, job.values - first);
    job.decode(job.blocks + first / type.block_values * type.block_bytes, values, count);
    (*job.pieces)[p] = look_at(values, count, first);
  }
}

ValueScan summary(std::vector<Piece>& pieces) {
  ValueScan scan;
  scan.scanned = true;
  scan.first_bad = kNowhere;
  for (const Piece& piece : pieces) {
    scan.nans += piece.nans;
    scan.infinities += piece.infinities;
    scan.first_bad = std::min(scan.first_bad, piece.first_bad);
    if (piece.largest > scan.largest) {
      scan.largest = piece.largest;
      scan.largest_at = piece.largest_at;
    }
  }
  const auto middle = pieces.begin() + static_cast<ptrdiff_t>(pieces.size() / 2);
  std::nth_element(pieces.begin(), middle, pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.largest < b.largest; });
  scan.typical = middle->largest;
  return scan;
}

}  // namespace

ValueScan scan_values(const File& file, const TensorInfo& tensor, ThreadPool& pool,
                      const ScanProgress& progress) {
  const uint64_t values = tensor.cols() * tensor.rows();
  if (tensor.type.status != TypeStatus::Supported) return {};
  const uint64_t count = (values + kPieceValues - 1) / kPieceValues;
  std::vector<Piece> pieces(count);
  std::vector<std::vector<float>> decoded(pool.size(), std::vector<float>(kPieceValues));
  const uint64_t piece_bytes = kPieceValues / tensor.type.block_values * tensor.type.block_bytes;
  for (uint64_t first = 0; first < count; first += kSegmentPieces) {
    const uint64_t end = std::min(first + kSegmentPieces, count);
    Job job{decode_row(tensor.type.format),
            file.bytes(tensor).data(),
            &tensor,
            values,
            end,
            &pieces,
            &decoded,
            {first}};
    pool.run(scan_pieces, &job);
    const uint64_t done = std::min(end * piece_bytes, tensor.bytes);
    file.part(tensor.part).drop(tensor.offset, done);
    if (progress) progress(done);
  }
  file.check();
  return summary(pieces);
}

}  // namespace gm::gguf
