// Trilinear reading of volumes for peer/sampling.py: many rigid copies of one grid, forwards and backwards.
//
// Volumes come padded by one voxel of zeros on every side, float32 [B,H+2,W+2,D+2,C]; `base` is [B,3,P] (x, y, z in -1..1,
// P a multiple of 16) and `offsets` [B,K,3]. The result is [B,K,C,P]: what the volume holds at base + offset, zero outside.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace {

constexpr int kLanes = 16;

struct Axes {
  int64_t height, width, depth, channels;

  int64_t cell(int64_t y, int64_t x, int64_t z) const { return ((y * (width + 2) + x) * (depth + 2) + z) * channels; }
  int64_t size() const { return cell(height + 2, 0, 0); }
};

// Sixteen points at once: the first of their eight corners, the fractions to the next ones, and whether they may move.
struct Block {
  int32_t first[kLanes];
  float fraction[3][kLanes];
  float inside[3][kLanes];

  void locate(const Axes& axes, const float* base, int64_t points, int64_t start, const float* offset) {
    const float half[3] = {axes.width / 2.f, axes.height / 2.f, axes.depth / 2.f};
    const int32_t step[3] = {int32_t(axes.cell(0, 1, 0)), int32_t(axes.cell(1, 0, 0)), int32_t(axes.cell(0, 0, 1))};
    std::fill(first, first + kLanes, 0);
    for (int axis = 0; axis < 3; ++axis) {
      const float* from = base + axis * points + start;
      const float last = 2 * half[axis];
#pragma omp simd
      for (int i = 0; i < kLanes; ++i) {
        const float at = (from[i] + offset[axis] + 1.f) * half[axis] + 0.5f;  // in padded voxels
        const float held = std::min(std::max(at, 0.f), last + 1);
        const int32_t whole = std::max(std::min(int32_t(held), int32_t(last)), 0);  // 0 also for what is no number
        first[i] += whole * step[axis];
        fraction[axis][i] = held - whole;
        inside[axis][i] = held == at ? half[axis] : 0.f;
      }
    }
  }
};

}  // namespace

at::Tensor sample(const at::Tensor& padded, const at::Tensor& base, const at::Tensor& offsets) {
  const int64_t batch = padded.size(0), keypoints = offsets.size(1), points = base.size(2);
  const Axes axes{padded.size(1) - 2, padded.size(2) - 2, padded.size(3) - 2, padded.size(4)};
  auto out = at::empty({batch, keypoints, axes.channels, points}, base.options());
  const float *volumes = padded.data_ptr<float>(), *bases = base.data_ptr<float>(), *moves = offsets.data_ptr<float>();
  float* results = out.data_ptr<float>();
  const int32_t dx = axes.cell(0, 1, 0), dy = axes.cell(1, 0, 0), dz = axes.cell(0, 0, 1);
  at::parallel_for(0, batch * keypoints, 1, [&](int64_t begin, int64_t end) {
    Block block;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / keypoints;
      const float* volume = volumes + b * axes.size();
      for (int64_t start = 0; start < points; start += kLanes) {
        block.locate(axes, bases + b * 3 * points, points, start, moves + row * 3);
        for (int64_t c = 0; c < axes.channels; ++c) {
          const float* v = volume + c;
          float value[kLanes];
#pragma omp simd
          for (int i = 0; i < kLanes; ++i) {
            const int32_t at = block.first[i];
            const float x = block.fraction[0][i], y = block.fraction[1][i], z = block.fraction[2][i];
            const float a = v[at] + (v[at + dz] - v[at]) * z, b = v[at + dx] + (v[at + dx + dz] - v[at + dx]) * z;
            const float c = v[at + dy] + (v[at + dy + dz] - v[at + dy]) * z;
            const float d = v[at + dy + dx] + (v[at + dy + dx + dz] - v[at + dy + dx]) * z;
            const float upper = a + (b - a) * x, lower = c + (d - c) * x;
            value[i] = upper + (lower - upper) * y;
          }
          std::copy(value, value + kLanes, results + (row * axes.channels + c) * points + start);
        }
      }
    }
  });
  return out;
}

// Gradients of the padded volume, of base and of offsets.
std::vector<at::Tensor> sample_backward(const at::Tensor& grown, const at::Tensor& padded, const at::Tensor& base, const at::Tensor& offsets) {
  const int64_t batch = padded.size(0), keypoints = offsets.size(1), points = base.size(2);
  const Axes axes{padded.size(1) - 2, padded.size(2) - 2, padded.size(3) - 2, padded.size(4)};
  auto to_volume = at::zeros_like(padded), to_base = at::zeros_like(base), to_offsets = at::zeros_like(offsets);
  const float *volumes = padded.data_ptr<float>(), *bases = base.data_ptr<float>(), *moves = offsets.data_ptr<float>();
  const float* grads = grown.data_ptr<float>();
  const int64_t channels = axes.channels;
  const int32_t dx = axes.cell(0, 1, 0), dy = axes.cell(1, 0, 0), dz = axes.cell(0, 0, 1);
  const int32_t corner[8] = {0, dz, dx, dx + dz, dy, dy + dz, dy + dx, dy + dx + dz};
  at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
    Block block;
    std::vector<float> lanes(channels * kLanes);
    for (int64_t b = begin; b < end; ++b) {
      const float* volume = volumes + b * axes.size();
      float* volume_grad = to_volume.data_ptr<float>() + b * axes.size();
      float* base_grad = to_base.data_ptr<float>() + b * 3 * points;
      for (int64_t k = 0; k < keypoints; ++k) {
        const int64_t row = b * keypoints + k;
        float total[3][kLanes] = {};
        for (int64_t start = 0; start < points; start += kLanes) {
            block.locate(axes, bases + b * 3 * points, points, start, moves + row * 3);
          float along[3][kLanes] = {};
          for (int64_t c = 0; c < channels; ++c) {
            const float* v = volume + c;
            const float* from = grads + (row * channels + c) * points + start;
            float* g = lanes.data() + c * kLanes;
            std::copy(from, from + kLanes, g);
#pragma omp simd
            for (int i = 0; i < kLanes; ++i) {
              const int32_t at = block.first[i];
              const float x = block.fraction[0][i], y = block.fraction[1][i], z = block.fraction[2][i];
              const float az = v[at + dz] - v[at], bz = v[at + dx + dz] - v[at + dx];
              const float cz = v[at + dy + dz] - v[at + dy], dz_ = v[at + dy + dx + dz] - v[at + dy + dx];
              const float a = v[at] + az * z, b = v[at + dx] + bz * z, c = v[at + dy] + cz * z, d = v[at + dy + dx] + dz_ * z;
              const float z_upper = az + (bz - az) * x, z_lower = cz + (dz_ - cz) * x;
              along[0][i] += g[i] * ((b - a) + ((d - c) - (b - a)) * y);
              along[1][i] += g[i] * (c + (d - c) * x - a - (b - a) * x);
              along[2][i] += g[i] * (z_upper + (z_lower - z_upper) * y);
            }
          }
          for (int axis = 0; axis < 3; ++axis) {
            float* into = base_grad + axis * points + start;
            for (int i = 0; i < kLanes; ++i) {
              const float moved = along[axis][i] * block.inside[axis][i];
              into[i] += moved;
              total[axis][i] += moved;
            }
          }
          float weight[8][kLanes];
#pragma omp simd
          for (int i = 0; i < kLanes; ++i) {
            const float x = block.fraction[0][i], y = block.fraction[1][i], z = block.fraction[2][i];
            const float xy = x * y, x_ = x - xy, y_ = y - xy, none = 1 - x - y + xy;
            weight[1][i] = none * z, weight[0][i] = none - none * z;
            weight[3][i] = x_ * z, weight[2][i] = x_ - x_ * z;
            weight[5][i] = y_ * z, weight[4][i] = y_ - y_ * z;
            weight[7][i] = xy * z, weight[6][i] = xy - xy * z;
          }
          for (int i = 0; i < kLanes; ++i) {
            float* into = volume_grad + block.first[i];
            for (int n = 0; n < 8; ++n) {
              for (int64_t c = 0; c < channels; ++c) into[corner[n] + c] += weight[n][i] * lanes[c * kLanes + i];
            }
          }
        }
        for (int axis = 0; axis < 3; ++axis) {
          to_offsets.data_ptr<float>()[row * 3 + axis] = std::accumulate(total[axis], total[axis] + kLanes, 0.f);
        }
      }
    }
  });
  return {to_volume, to_base, to_offsets};
}

TORCH_LIBRARY(facewire_peer, library) {
  library.def("sample(Tensor padded, Tensor base, Tensor offsets) -> Tensor", &sample);
  library.def("sample_backward(Tensor grown, Tensor padded, Tensor base, Tensor offsets) -> Tensor[]", &sample_backward);
}
