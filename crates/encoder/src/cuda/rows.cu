// Layer norm with what stands around it, embeddings, and moving rows. One warp takes a row of at most 1024 values,
// a lane eight neighbouring ones of every 256: V is how many times 256 cover the width.
#include "common.cuh"

template <int V> struct Row {
  float v[V][8];
};

#define FOR_ROW(width)                                                                                                 \
  _Pragma("unroll") for (int i = 0; i < V; i++)                                                                        \
    if (int c = i * 256 + (threadIdx.x & 31) * 8; c < (width))

template <int V> __device__ __forceinline__ void statistics(const Row<V> &x, int width, float eps, float &mean, float &scale) {
  float sum = 0, squares = 0;
  FOR_ROW(width)
    for (int j = 0; j < 8; j++) sum += x.v[i][j];
  mean = warp_sum(sum) / width;
  FOR_ROW(width)
    for (int j = 0; j < 8; j++) squares += (x.v[i][j] - mean) * (x.v[i][j] - mean);
  scale = 1.f / sqrtf(warp_sum(squares) / width + eps);
}

// Sums over the warps of a block, written as row `block` of partial sums.
template <int V> __device__ void write_sums(const Row<V> &sums, float *out, int width) {
  __shared__ float all[8][256];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int i = 0; i < V; i++) {
    __syncthreads();
    for (int j = 0; j < 8; j++) all[warp][lane * 8 + j] = sums.v[i][j];
    __syncthreads();
    int c = i * 256 + threadIdx.x;
    if (c < width) {
      float sum = 0;
      for (int w = 0; w < 8; w++) sum += all[w][threadIdx.x];
      out[c] = sum;
    }
  }
}

template <int V> __device__ __forceinline__ void clear(Row<V> &x) {
  for (int i = 0; i < V; i++)
    for (int j = 0; j < 8; j++) x.v[i][j] = 0;
}

// y = norm(h) with h = residual + dropout(x + bias); bias and residual may be null. Writes h and the statistics
// (mean and scale of each row) where asked for.
template <class T, int V>
__device__ void norm_rows(const T *x, const float *bias, const T *residual, const float *weight, const float *shift, T *h, T *y,
                          float2 *stats, int rows, int width, float eps, Drop drop) {
  int row = blockIdx.x * 8 + (threadIdx.x >> 5);
  if (row >= rows) return;
  size_t at = (size_t)row * width;
  Row<V> v;
  FOR_ROW(width) {
    load<8>(x + at + c, v.v[i]);
    float b[8] = {0}, r[8] = {0};
    if (bias) load<8>(bias + c, b);
    if (residual) load<8>(residual + at + c, r);
    for (int j = 0; j < 8; j++)
      v.v[i][j] = rounded((v.v[i][j] + b[j]) * factor(drop, (uint32_t)(at + c + j)) + r[j], x);
    if (h) store<8>(h + at + c, v.v[i]);
  }
  float mean, scale;
  statistics<V>(v, width, eps, mean, scale);
  if (stats && (threadIdx.x & 31) == 0) stats[row] = make_float2(mean, scale);
  FOR_ROW(width) {
    float w[8], s[8], out[8];
    load<8>(weight + c, w), load<8>(shift + c, s);
    for (int j = 0; j < 8; j++) out[j] = (v.v[i][j] - mean) * scale * w[j] + s[j];
    store<8>(y + at + c, out);
  }
}

// The gradient of a normed row: scale (g - mean(g) - x mean(g x)), where g = dy weight and x the normed values.
template <int V> __device__ __forceinline__ void norm_back(Row<V> &g, const Row<V> &x, int width, float scale) {
  float sum = 0, slope = 0;
  FOR_ROW(width)
    for (int j = 0; j < 8; j++) sum += g.v[i][j], slope += g.v[i][j] * x.v[i][j];
  sum = warp_sum(sum) / width, slope = warp_sum(slope) / width;
  FOR_ROW(width)
    for (int j = 0; j < 8; j++) g.v[i][j] = scale * (g.v[i][j] - sum - x.v[i][j] * slope);
}

// Gradients of norm_rows: of the residual (= of h), of x where dropout makes it another, and partial sums of those of
// weight, shift and bias, (blocks, 3, width).
template <class T, int V>
__device__ void norm_rows_back(const T *dy, const T *h, const float2 *stats, const float *weight, T *dresidual, T *dx, float *sums,
                               int rows, int width, Drop drop) {
  Row<V> dweight, dshift, dbias;
  clear(dweight), clear(dshift), clear(dbias);
  for (int row = blockIdx.x * 8 + (threadIdx.x >> 5); row < rows; row += gridDim.x * 8) {
    size_t at = (size_t)row * width;
    float mean = stats[row].x, scale = stats[row].y;
    Row<V> g, x;
    FOR_ROW(width) {
      float w[8];
      load<8>(dy + at + c, g.v[i]), load<8>(h + at + c, x.v[i]), load<8>(weight + c, w);
      for (int j = 0; j < 8; j++) {
        x.v[i][j] = (x.v[i][j] - mean) * scale;
        dweight.v[i][j] += g.v[i][j] * x.v[i][j];
        dshift.v[i][j] += g.v[i][j];
        g.v[i][j] *= w[j];
      }
    }
    norm_back<V>(g, x, width, scale);
    FOR_ROW(width) {
      store<8>(dresidual + at + c, g.v[i]);
      for (int j = 0; j < 8; j++) {
        g.v[i][j] *= factor(drop, (uint32_t)(at + c + j));
        dbias.v[i][j] += g.v[i][j];
      }
      if (drop.limit) store<8>(dx + at + c, g.v[i]);
    }
  }
  float *out = sums + (size_t)blockIdx.x * 3 * width;
  write_sums<V>(dweight, out, width);
  write_sums<V>(dshift, out + width, width);
  write_sums<V>(dbias, out + 2 * width, width);
}

// Sum of the three embeddings of a row. ids: token, position and segment of every row, one after the other.
template <int V>
__device__ __forceinline__ void embedding(Row<V> &x, const float *word, const float *position, const float *segment,
                                          const uint32_t *ids, int row, int rows, int width) {
  const float *w = word + (size_t)ids[row] * width, *p = position + (size_t)ids[rows + row] * width,
              *s = segment + (size_t)ids[2 * rows + row] * width;
  FOR_ROW(width) {
    float a[8], b[8];
    load<8>(w + c, x.v[i]), load<8>(p + c, a), load<8>(s + c, b);
    for (int j = 0; j < 8; j++) x.v[i][j] += a[j] + b[j];
  }
}

// dropout(norm(embedding)).
template <class T, int V>
__device__ void embed_rows(const float *word, const float *position, const float *segment, const uint32_t *ids, const float *weight,
                           const float *shift, T *y, int rows, int width, float eps, Drop drop) {
  int row = blockIdx.x * 8 + (threadIdx.x >> 5);
  if (row >= rows) return;
  Row<V> x;
  embedding<V>(x, word, position, segment, ids, row, rows, width);
  float mean, scale;
  statistics<V>(x, width, eps, mean, scale);
  size_t at = (size_t)row * width;
  FOR_ROW(width) {
    float w[8], s[8];
    load<8>(weight + c, w), load<8>(shift + c, s);
    for (int j = 0; j < 8; j++)
      x.v[i][j] = ((x.v[i][j] - mean) * scale * w[j] + s[j]) * factor(drop, (uint32_t)(at + c + j));
    store<8>(y + at + c, x.v[i]);
  }
}

__device__ __forceinline__ void add8(float *p, const float *v) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  atomicAdd((float4 *)p, make_float4(v[0], v[1], v[2], v[3]));
  atomicAdd((float4 *)(p + 4), make_float4(v[4], v[5], v[6], v[7]));
#else
  for (int j = 0; j < 8; j++) atomicAdd(p + j, v[j]);
#endif
}

// Adds the gradients of the tables; those of weight, shift and segment 0 (where every row would meet) become partial
// sums, (blocks, 3, width).
template <class T, int V>
__device__ void embed_rows_back(const float *word, const float *position, const float *segment, const uint32_t *ids,
                                const float *weight, const T *dy, float *dword, float *dposition, float *dsegment, float *sums,
                                int rows, int width, float eps, Drop drop) {
  Row<V> dweight, dshift, dfirst;
  clear(dweight), clear(dshift), clear(dfirst);
  for (int row = blockIdx.x * 8 + (threadIdx.x >> 5); row < rows; row += gridDim.x * 8) {
    size_t at = (size_t)row * width;
    Row<V> x, g;
    embedding<V>(x, word, position, segment, ids, row, rows, width);
    float mean, scale;
    statistics<V>(x, width, eps, mean, scale);
    FOR_ROW(width) {
      float w[8];
      load<8>(dy + at + c, g.v[i]), load<8>(weight + c, w);
      for (int j = 0; j < 8; j++) {
        x.v[i][j] = (x.v[i][j] - mean) * scale;
        g.v[i][j] *= factor(drop, (uint32_t)(at + c + j));
        dweight.v[i][j] += g.v[i][j] * x.v[i][j];
        dshift.v[i][j] += g.v[i][j];
        g.v[i][j] *= w[j];
      }
    }
    norm_back<V>(g, x, width, scale);
    uint32_t kind = ids[2 * rows + row];
    FOR_ROW(width) {
      add8(dword + (size_t)ids[row] * width + c, g.v[i]);
      add8(dposition + (size_t)ids[rows + row] * width + c, g.v[i]);
      if (kind) add8(dsegment + (size_t)kind * width + c, g.v[i]);
      else
        for (int j = 0; j < 8; j++) dfirst.v[i][j] += g.v[i][j];
    }
  }
  float *out = sums + (size_t)blockIdx.x * 3 * width;
  write_sums<V>(dweight, out, width);
  write_sums<V>(dshift, out + width, width);
  write_sums<V>(dfirst, out + 2 * width, width);
}

// The sums of partial sums (blocks, width of all outputs together). Of each output the first `kept` values are added to
// or overwritten. Block of 32 columns by 8.
extern "C" __global__ void finish_sums(const float *sums, int blocks, int width, int kept, int outputs, float *first,
                                       float *second, float *third, int add_to_first, int add_to_second, int add_to_third) {
  __shared__ float all[8][33];
  int c = blockIdx.x * 32 + threadIdx.x, total = width * outputs;
  float sum = 0;
  if (c < total)
    for (int b = threadIdx.y; b < blocks; b += 8) sum += sums[(size_t)b * total + c];
  all[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || c >= total) return;
  for (int y = 1; y < 8; y++) sum += all[y][threadIdx.x];
  int which = c / width;
  float *out = which == 0 ? first : which == 1 ? second : third;
  int add = which == 0 ? add_to_first : which == 1 ? add_to_second : add_to_third;
  if (!out || c % width >= kept) return;
  out += c % width;
  *out = add ? *out + sum : sum;
}

// Row r of out is row from[r] of x, or zeros for the largest number. N values a thread.
template <class From, class To, int N>
__device__ void take_rows(const From *x, const uint32_t *from, To *out, int rows, int width) {
  size_t parts = (size_t)rows * (width / N), step = (size_t)gridDim.x * blockDim.x;
  for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < parts; at += step) {
    size_t row = at / (width / N), c = at % (width / N) * N;
    float v[N];
    for (int j = 0; j < N; j++) v[j] = 0;
    if (from[row] != 0xffffffffu) load<N>(x + (size_t)from[row] * width + c, v);
    store<N>(out + row * width + c, v);
  }
}

// The mean row of each text: grid (texts, columns / 256), block (32, 8).
template <class T> __device__ void mean_rows(const T *x, const uint32_t *starts, float *out, int width) {
  __shared__ float all[8][256];
  int c = blockIdx.y * 256 + threadIdx.x * 8, first = starts[blockIdx.x], end = starts[blockIdx.x + 1];
  float sum[8] = {0};
  if (c < width)
    for (int row = first + threadIdx.y; row < end; row += 8) {
      float v[8];
      load<8>(x + (size_t)row * width + c, v);
      for (int j = 0; j < 8; j++) sum[j] += v[j];
    }
  for (int j = 0; j < 8; j++) all[threadIdx.y][threadIdx.x * 8 + j] = sum[j];
  __syncthreads();
  if (threadIdx.y || c >= width) return;
  for (int j = 0; j < 8; j++) {
    for (int y = 1; y < 8; y++) sum[j] += all[y][threadIdx.x * 8 + j];
    sum[j] /= end - first;
  }
  store<8>(out + (size_t)blockIdx.x * width + c, sum);
}

template <class T> __device__ void mean_rows_back(const float *dout, const uint32_t *starts, T *dx, int width) {
  int c = blockIdx.y * 256 + threadIdx.x * 8, first = starts[blockIdx.x], end = starts[blockIdx.x + 1];
  if (c >= width) return;
  float v[8];
  load<8>(dout + (size_t)blockIdx.x * width + c, v);
  for (int j = 0; j < 8; j++) v[j] /= end - first;
  for (int row = first + threadIdx.y; row < end; row += 8) store<8>(dx + (size_t)row * width + c, v);
}

#define ROW_KERNELS(T, S, V)                                                                                           \
  extern "C" __global__ void __launch_bounds__(256) norm_##S##_##V(                                                    \
      const T *x, const float *bias, const T *residual, const float *weight, const float *shift, T *h, T *y,           \
      float2 *stats, int rows, int width, float eps, uint32_t limit, uint32_t seed, float keep) {                      \
    norm_rows<T, V>(x, bias, residual, weight, shift, h, y, stats, rows, width, eps, Drop{limit, seed, keep});         \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) norm_back_##S##_##V(                                               \
      const T *dy, const T *h, const float2 *stats, const float *weight, T *dresidual, T *dx, float *sums, int rows,   \
      int width, uint32_t limit, uint32_t seed, float keep) {                                                          \
    norm_rows_back<T, V>(dy, h, stats, weight, dresidual, dx, sums, rows, width, Drop{limit, seed, keep});             \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) embed_##S##_##V(                                                   \
      const float *word, const float *position, const float *segment, const uint32_t *ids, const float *weight,        \
      const float *shift, T *y, int rows, int width, float eps, uint32_t limit, uint32_t seed, float keep) {           \
    embed_rows<T, V>(word, position, segment, ids, weight, shift, y, rows, width, eps, Drop{limit, seed, keep});       \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) embed_back_##S##_##V(                                              \
      const float *word, const float *position, const float *segment, const uint32_t *ids, const float *weight,        \
      const T *dy, float *dword, float *dposition, float *dsegment, float *sums, int rows, int width, float eps,       \
      uint32_t limit, uint32_t seed, float keep) {                                                                     \
    embed_rows_back<T, V>(word, position, segment, ids, weight, dy, dword, dposition, dsegment, sums, rows, width,     \
                          eps, Drop{limit, seed, keep});                                                               \
  }

#define TYPE_KERNELS(T, S)                                                                                             \
  ROW_KERNELS(T, S, 1) ROW_KERNELS(T, S, 2) ROW_KERNELS(T, S, 3) ROW_KERNELS(T, S, 4)                                  \
  extern "C" __global__ void __launch_bounds__(256) mean_##S(const T *x, const uint32_t *starts, float *out, int width) { \
    mean_rows(x, starts, out, width);                                                                                  \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) mean_back_##S(const float *dout, const uint32_t *starts, T *dx, int width) { \
    mean_rows_back(dout, starts, dx, width);                                                                           \
  }
FOR_TYPES(TYPE_KERNELS)

#define TAKE_KERNEL(From, To, S, N)                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) take_##S##_##N(const From *x, const uint32_t *from, To *out, int rows, int width) { \
    take_rows<From, To, N>(x, from, out, rows, width);                                                                 \
  }
#define TAKE_KERNELS(From, To, S) TAKE_KERNEL(From, To, S, 1) TAKE_KERNEL(From, To, S, 8)
TAKE_KERNELS(float, float, f32_f32)
TAKE_KERNELS(bf16, bf16, bf16_bf16)
TAKE_KERNELS(bf16, float, bf16_f32)
TAKE_KERNELS(float, bf16, f32_bf16)
