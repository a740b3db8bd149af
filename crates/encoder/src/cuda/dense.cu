// What follows a matrix product: bias and activation, forward and backward. N values a thread: eight, or one where the
// width is no multiple of eight.
#include "common.cuh"

enum Activation { NONE, GELU, GELU_TANH, RELU };

__device__ __forceinline__ float activated(float x, int act) {
  if (act == GELU) return 0.5f * x * (1.f + erff(x * 0.70710678f));
  if (act == GELU_TANH) return 0.5f * x * (1.f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
  if (act == RELU) return fmaxf(x, 0.f);
  return x;
}

__device__ __forceinline__ float slope(float x, int act) {
  if (act == GELU) return 0.5f * (1.f + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x);
  if (act == GELU_TANH) {
    float t = tanhf(0.79788456f * (x + 0.044715f * x * x * x));
    return 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * 0.79788456f * (1.f + 3.f * 0.044715f * x * x);
  }
  if (act == RELU) return x > 0.f ? 1.f : 0.f;
  return 1.f;
}

// out = act(x + bias); out may be x.
template <class T, int N> __device__ void bias_rows(const T *x, const float *bias, T *out, int rows, int width, int act) {
  size_t parts = (size_t)rows * (width / N), step = (size_t)gridDim.x * blockDim.x;
  for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < parts; at += step) {
    int c = (int)(at % (width / N)) * N;
    float v[N], b[N];
    load<N>(x + at * N, v), load<N>(bias + c, b);
    for (int j = 0; j < N; j++) v[j] = activated(v[j] + b[j], act);
    store<N>(out + at * N, v);
  }
}

// dx = dy act'(x + bias) unless dx is null, and partial sums of its columns (blocks, width). Without an activation dx is
// dy, and x and dx are null. dx may be dy. Grid (columns / 32N, blocks), block (32, 8).
template <class T, int N>
__device__ void bias_rows_back(const T *dy, const T *x, const float *bias, T *dx, float *sums, int rows, int width, int act) {
  __shared__ float all[8][32 * N];
  int c = (blockIdx.x * 32 + threadIdx.x) * N;
  float sum[N], b[N];
  for (int j = 0; j < N; j++) sum[j] = 0, b[j] = 0;
  if (c < width) {
    if (act != NONE) load<N>(bias + c, b);
    for (int row = blockIdx.y * 8 + threadIdx.y; row < rows; row += gridDim.y * 8) {
      size_t at = (size_t)row * width + c;
      float g[N], v[N];
      load<N>(dy + at, g);
      if (act != NONE) {
        load<N>(x + at, v);
        for (int j = 0; j < N; j++) g[j] *= slope(v[j] + b[j], act);
        store<N>(dx + at, g);
      }
      for (int j = 0; j < N; j++) sum[j] += g[j];
    }
  }
  for (int j = 0; j < N; j++) all[threadIdx.y][threadIdx.x * N + j] = sum[j];
  __syncthreads();
  if (threadIdx.y || c >= width) return;
  for (int j = 0; j < N; j++)
    for (int y = 1; y < 8; y++) sum[j] += all[y][threadIdx.x * N + j];
  store<N>(sums + (size_t)blockIdx.y * width + c, sum);
}

#define BIAS_KERNEL(T, S, N)                                                                                           \
  extern "C" __global__ void __launch_bounds__(256) bias_##S##_##N(const T *x, const float *bias, T *out, int rows, int width, int act) { \
    bias_rows<T, N>(x, bias, out, rows, width, act);                                                                   \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) bias_back_##S##_##N(                                               \
      const T *dy, const T *x, const float *bias, T *dx, float *sums, int rows, int width, int act) {                  \
    bias_rows_back<T, N>(dy, x, bias, dx, sums, rows, width, act);                                                     \
  }
#define BIAS_KERNELS(T, S) BIAS_KERNEL(T, S, 1) BIAS_KERNEL(T, S, 8)
FOR_TYPES(BIAS_KERNELS)

// Weights as the products take them.
extern "C" __global__ void round_weights(const float *x, bf16 *out, size_t count) {
  size_t step = (size_t)gridDim.x * blockDim.x * 8;
  for (size_t at = (blockIdx.x * (size_t)blockDim.x + threadIdx.x) * 8; at < count; at += step) {
    if (at + 8 <= count) {
      float v[8];
      load<8>(x + at, v), store<8>(out + at, v);
    } else
      for (; at < count; at++) set(out + at, x[at]);
  }
}

// Dropout of any values, forward and backward.
template <class T> __device__ void drop_values(const T *x, T *out, size_t count, Drop drop) {
  size_t step = (size_t)gridDim.x * blockDim.x;
  for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < count; at += step)
    set(out + at, to_float(x[at]) * factor(drop, (uint32_t)at));
}
#define DROP_KERNEL(T, S)                                                                                              \
  extern "C" __global__ void drop_##S(const T *x, T *out, size_t count, uint32_t limit, uint32_t seed, float keep) {   \
    drop_values(x, out, count, Drop{limit, seed, keep});                                                               \
  }
FOR_TYPES(DROP_KERNEL)
