// Cross-entropy over rows, and AdamW.
#include "common.cuh"

constexpr int THREADS = 256;

// The sum over the block of 256 threads, for all of them.
__device__ float block_sum(float x) {
  __shared__ float all[8];
  x = warp_sum(x);
  __syncthreads();
  if ((threadIdx.x & 31) == 0) all[threadIdx.x >> 5] = x;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < 8; w++) sum += all[w];
  return sum;
}

__device__ float block_max(float x) {
  __shared__ float all[8];
  x = warp_max(x);
  __syncthreads();
  if ((threadIdx.x & 31) == 0) all[threadIdx.x >> 5] = x;
  __syncthreads();
  float most = all[0];
  for (int w = 1; w < 8; w++) most = fmaxf(most, all[w]);
  return most;
}

// A block a row: the logarithm of the sum of exponentials of logits + bias, and the loss. Rows lie `stride` apart, a
// multiple of N with N = 8; bias may be null.
template <class T, int N>
__device__ void entropy_rows(const T *logits, int stride, const float *bias, const uint32_t *targets, float *lse, float *losses,
                             int classes) {
  const T *row = logits + (size_t)blockIdx.x * stride;
  float top = -INFINITY, sum = 0;
  for (int c = threadIdx.x * N; c < classes; c += THREADS * N) {
    float v[N];
    load<N>(row + c, v);
    float most = top;
    for (int j = 0; j < N; j++) {
      v[j] = c + j < classes ? v[j] + (bias ? bias[c + j] : 0.f) : -INFINITY;
      most = fmaxf(most, v[j]);
    }
    if (most > -INFINITY) {
      sum *= expf(top - most);
      for (int j = 0; j < N; j++) sum += expf(v[j] - most);
    }
    top = most;
  }
  float most = block_max(top);
  sum = block_sum(top > -INFINITY ? sum * expf(top - most) : 0.f);
  if (threadIdx.x) return;
  float total = most + logf(sum);
  uint32_t target = targets[blockIdx.x];
  lse[blockIdx.x] = total;
  losses[blockIdx.x] = total - to_float(row[target]) - (bias ? bias[target] : 0.f);
}

// (softmax - target) grad / rows; zeros between classes and stride. out may be logits.
template <class T, int N>
__device__ void entropy_rows_back(const T *logits, int stride, const float *bias, const uint32_t *targets, const float *lse,
                                  const float *grad, T *out, int classes) {
  size_t at = (size_t)blockIdx.x * stride;
  float total = lse[blockIdx.x], scale = *grad / gridDim.x;
  int target = targets[blockIdx.x];
  for (int c = threadIdx.x * N; c < stride; c += THREADS * N) {
    float v[N];
    load<N>(logits + at + c, v);
    for (int j = 0; j < N; j++) {
      int own = c + j;
      v[j] = own < classes ? (expf(v[j] + (bias ? bias[own] : 0.f) - total) - (own == target ? 1.f : 0.f)) * scale : 0.f;
    }
    store<N>(out + at + c, v);
  }
}

// The mean of count values, by one block.
extern "C" __global__ void mean_all(const float *x, float *out, int count) {
  float sum = 0;
  for (int at = threadIdx.x; at < count; at += THREADS) sum += x[at];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *out = sum / count;
}

#define ENTROPY_KERNEL(T, S, N)                                                                                        \
  extern "C" __global__ void __launch_bounds__(THREADS) entropy_##S##_##N(                                             \
      const T *logits, int stride, const float *bias, const uint32_t *targets, float *lse, float *losses, int classes) { \
    entropy_rows<T, N>(logits, stride, bias, targets, lse, losses, classes);                                           \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(THREADS) entropy_back_##S##_##N(                                        \
      const T *logits, int stride, const float *bias, const uint32_t *targets, const float *lse, const float *grad,    \
      T *out, int classes) {                                                                                           \
    entropy_rows_back<T, N>(logits, stride, bias, targets, lse, grad, out, classes);                                   \
  }
#define ENTROPY_KERNELS(T, S) ENTROPY_KERNEL(T, S, 1) ENTROPY_KERNEL(T, S, 8)
FOR_TYPES(ENTROPY_KERNELS)

// A variable of the optimizer; a gradient of null leaves it as it is.
struct Slot {
  float *weight, *mean, *square;
  const float *gradient;
  uint64_t count;
  // What the weight is multiplied by (weight decay), and the learning rate with the correction of the mean.
  float keep, rate;
};

// Values that one block takes; chunks are pairs of (slot, number of the piece in it).
constexpr int PIECE = 16384;

// The sum of squares of every chunk of gradients.
extern "C" __global__ void __launch_bounds__(THREADS) square_sums(const Slot *slots, const uint2 *chunks, float *sums) {
  uint2 chunk = chunks[blockIdx.x];
  Slot slot = slots[chunk.x];
  uint64_t first = (uint64_t)chunk.y * PIECE, end = first + PIECE < slot.count ? first + PIECE : slot.count;
  float sum = 0;
  if (slot.gradient)
    for (uint64_t at = first + threadIdx.x; at < end; at += THREADS) sum += slot.gradient[at] * slot.gradient[at];
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// The norm of each slot's gradient out of the sums of its chunks, from firsts[slot] to firsts[slot + 1]; block a slot.
extern "C" __global__ void __launch_bounds__(THREADS) slot_norms(const float *sums, const uint32_t *firsts, float *norms) {
  float sum = 0;
  for (uint32_t at = firsts[blockIdx.x] + threadIdx.x; at < firsts[blockIdx.x + 1]; at += THREADS) sum += sums[at];
  sum = block_sum(sum);
  if (threadIdx.x == 0) norms[blockIdx.x] = sqrtf(sum);
}

// AdamW (Loshchilov and Hutter 2019, algorithm 2), as the optimizer of the CPU writes it.
extern "C" __global__ void __launch_bounds__(THREADS)
    adamw(const Slot *slots, const uint2 *chunks, float scale, float beta1, float beta2, float epsilon, float root) {
  uint2 chunk = chunks[blockIdx.x];
  Slot slot = slots[chunk.x];
  if (!slot.gradient) return;
  uint64_t first = (uint64_t)chunk.y * PIECE, end = first + PIECE < slot.count ? first + PIECE : slot.count;
  for (uint64_t at = first + threadIdx.x; at < end; at += THREADS) {
    float g = slot.gradient[at] * scale;
    float m = slot.mean[at] = beta1 * slot.mean[at] + (1.f - beta1) * g;
    float v = slot.square[at] = beta2 * slot.square[at] + (1.f - beta2) * g * g;
    slot.weight[at] = slot.keep * slot.weight[at] - slot.rate * m / (sqrtf(v) * root + epsilon);
  }
}
