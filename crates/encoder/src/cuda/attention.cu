// Self-attention of packed texts, forward and backward. A block of four warps takes 64 queries (or keys) of one head of
// one text and goes over the keys (or queries) in tiles of 64. Scores are computed twice in the forward pass, once for
// the logarithm of the sum of exponentials of each row and once for the weights, so nothing has to be rescaled and
// nothing grows with the length of a text. The backward pass computes them again: by tiles of queries for the
// gradient of the queries, by tiles of keys for those of keys and values, so no two blocks write to the same place.
#include "common.cuh"

using namespace nvcuda;

constexpr int TILE = 64, BLOCK = 128;
// Floats in a row of scores; the four above TILE keep rows apart in the banks of shared memory.
constexpr int SCORES = TILE + 4;

// Products of 16 rows with a tile, C (16, 16 J) += A B, on the matrix units. A (16, 16 K) by rows.
template <class T> struct Product;

template <> struct Product<bf16> {
  typedef wmma::fragment<wmma::accumulator, 16, 16, 16, float> Sum;
  static __device__ __forceinline__ void clear(Sum &c) { wmma::fill_fragment(c, 0.f); }
  // B by columns: B[k][n] is b[n * ldb + k].
  template <int J, int K> static __device__ __forceinline__ void by_columns(Sum *c, const bf16 *a, int lda, const bf16 *b, int ldb) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, bf16, wmma::row_major> left;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, bf16, wmma::col_major> right;
#pragma unroll
    for (int k = 0; k < K; k++) {
      wmma::load_matrix_sync(left, a + 16 * k, lda);
#pragma unroll
      for (int j = 0; j < J; j++) {
        wmma::load_matrix_sync(right, b + 16 * j * ldb + 16 * k, ldb);
        wmma::mma_sync(c[j], left, right, c[j]);
      }
    }
  }
  // B by rows: B[k][n] is b[k * ldb + n].
  template <int J, int K> static __device__ __forceinline__ void by_rows(Sum *c, const bf16 *a, int lda, const bf16 *b, int ldb) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, bf16, wmma::row_major> left;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, bf16, wmma::row_major> right;
#pragma unroll
    for (int k = 0; k < K; k++) {
      wmma::load_matrix_sync(left, a + 16 * k, lda);
#pragma unroll
      for (int j = 0; j < J; j++) {
        wmma::load_matrix_sync(right, b + 16 * k * ldb + 16 * j, ldb);
        wmma::mma_sync(c[j], left, right, c[j]);
      }
    }
  }
  static __device__ __forceinline__ void write(float *p, const Sum &c, int ld) { wmma::store_matrix_sync(p, c, ld, wmma::mem_row_major); }
};

// The same in float: a lane has eight neighbouring columns of a row of each 16 by 16.
template <> struct Product<float> {
  struct Sum {
    float x[8];
  };
  static __device__ __forceinline__ void clear(Sum &c) {
    for (int e = 0; e < 8; e++) c.x[e] = 0;
  }
  static __device__ __forceinline__ int row() { return (threadIdx.x & 31) >> 1; }
  static __device__ __forceinline__ int column() { return (threadIdx.x & 1) * 8; }
  template <int J, int K> static __device__ __forceinline__ void by_columns(Sum *c, const float *a, int lda, const float *b, int ldb) {
    for (int k = 0; k < 16 * K; k++)
      for (int j = 0; j < J; j++)
        for (int e = 0; e < 8; e++) c[j].x[e] += a[row() * lda + k] * b[(16 * j + column() + e) * ldb + k];
  }
  template <int J, int K> static __device__ __forceinline__ void by_rows(Sum *c, const float *a, int lda, const float *b, int ldb) {
    for (int k = 0; k < 16 * K; k++)
      for (int j = 0; j < J; j++)
        for (int e = 0; e < 8; e++) c[j].x[e] += a[row() * lda + k] * b[k * ldb + 16 * j + column() + e];
  }
  static __device__ __forceinline__ void write(float *p, const Sum &c, int ld) {
    for (int e = 0; e < 8; e++) p[row() * ld + column() + e] = c.x[e];
  }
};

// Where a block works, the same in all kernels.
struct Place {
  int start, tokens, first, hidden;
  float scale;
  bool causal;
  Drop drop;
  __device__ Place(const uint32_t *starts, const uint32_t *tiles, int hidden, float scale, int causal, Drop all)
      : hidden(hidden), scale(scale), causal(causal) {
    int text = tiles[2 * blockIdx.x];
    start = starts[text];
    tokens = starts[text + 1] - start;
    first = tiles[2 * blockIdx.x + 1] * TILE;
    drop = part(all, text * gridDim.y + blockIdx.y);
  }
  __device__ __forceinline__ bool seen(int query, int key) const {
    return query < tokens && key < tokens && (!causal || key <= query);
  }
  __device__ __forceinline__ float keep(int query, int key) const { return factor(drop, (uint32_t)(query * tokens + key)); }
};

// Sizes of shared memory: tiles of T with rows of LD, and scores of the four warps.
template <class T, int D> struct Sizes {
  static constexpr int LD = D + 16 / sizeof(T), TILE_BYTES = TILE * LD * sizeof(T), SCORE_BYTES = TILE * SCORES * 4;
  // Row length of weights that are written over scores.
  static constexpr int WEIGHTS = SCORES * 4 / sizeof(T);
};

// Copies 64 rows of D values, with zeros below `valid`.
template <class T, int D> __device__ __forceinline__ void load_tile(T *to, const T *from, int valid, size_t stride) {
  constexpr int EACH = 16 / sizeof(T), PARTS = D / EACH;
#pragma unroll
  for (int at = threadIdx.x; at < TILE * PARTS; at += BLOCK) {
    int row = at / PARTS, c = at % PARTS * EACH;
    uint4 value = make_uint4(0, 0, 0, 0);
    if (row < valid) value = *(const uint4 *)(from + row * stride + c);
    *(uint4 *)(to + row * Sizes<T, D>::LD + c) = value;
  }
}

// 16 rows of a to 64 columns of b, (16, 64) scores.
template <class T, int D> __device__ __forceinline__ void score(float *out, const T *a, const T *b) {
  typename Product<T>::Sum c[4];
  for (int j = 0; j < 4; j++) Product<T>::clear(c[j]);
  Product<T>::template by_columns<4, D / 16>(c, a, Sizes<T, D>::LD, b, Sizes<T, D>::LD);
  for (int j = 0; j < 4; j++) Product<T>::write(out + 16 * j, c[j], SCORES);
}

// The column of a lane's value number i: two lanes share a row, and each turn of the warp touches every bank once.
__device__ __forceinline__ int column_of(int i, int lane) { return (2 * i + (lane & 1) + 2 * (lane >> 4)) & (TILE - 1); }

// Writes 16 rows of sums as T, those below `valid`, by way of the warp's scores.
template <class T, int D> __device__ __forceinline__ void write_rows(T *to, typename Product<T>::Sum *sums, float *scores, int valid, size_t stride) {
  int lane = threadIdx.x & 31, row = lane >> 1;
  __syncwarp();
#pragma unroll
  for (int j = 0; j < D / 16; j++) Product<T>::write(scores + 16 * j, sums[j], SCORES);
  __syncwarp();
  if (row < valid)
#pragma unroll
    for (int c = (lane & 1) * 8; c < D; c += 16) store<8>(to + row * stride + c, scores + row * SCORES + c);
  __syncwarp();
}

// qkv (rows, 3 hidden) to out (rows, hidden) and log of the sum of exponentials (heads, rows).
template <class T, int D>
__device__ void attend(const T *qkv, const uint32_t *starts, const uint32_t *tiles, T *out, float *lse, int rows, int hidden,
                       float scale, int causal, Drop drop) {
  typedef Sizes<T, D> S;
  DYNAMIC_SHARED(memory);
  T *q = (T *)memory, *k = (T *)(memory + S::TILE_BYTES), *v = (T *)(memory + 2 * S::TILE_BYTES);
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, row = lane >> 1;
  float *scores = (float *)(memory + 3 * S::TILE_BYTES) + warp * 16 * SCORES;
  T *weights = (T *)scores;
  Place at(starts, tiles, hidden, scale, causal, drop);
  size_t stride = 3 * (size_t)hidden;
  const T *base = qkv + at.start * stride + blockIdx.y * D;
  load_tile<T, D>(q, base + at.first * stride, at.tokens - at.first, stride);
  int query = at.first + warp * 16 + row, keys = causal ? min(at.tokens, at.first + TILE) : at.tokens;
  float top = -INFINITY, sum = 0;
  for (int first = 0; first < keys; first += TILE) {
    __syncthreads();
    load_tile<T, D>(k, base + hidden + first * stride, at.tokens - first, stride);
    __syncthreads();
    score<T, D>(scores, q + warp * 16 * S::LD, k);
    __syncwarp();
    float s[32], most = top;
#pragma unroll
    for (int i = 0; i < 32; i++) {
      int c = column_of(i, lane);
      s[i] = at.seen(query, first + c) ? scores[row * SCORES + c] * scale : -INFINITY;
      most = fmaxf(most, s[i]);
    }
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    // A row without tokens has seen nothing; it stays out of the arithmetic with infinities.
    if (most > -INFINITY) {
      sum *= __expf(top - most);
#pragma unroll
      for (int i = 0; i < 32; i++) sum += __expf(s[i] - most);
    }
    top = most;
    __syncwarp();
  }
  sum += __shfl_xor_sync(0xffffffffu, sum, 1);
  float total = query < at.tokens ? top + __logf(sum) : 0.f;
  if (query < at.tokens && (lane & 1) == 0) lse[(size_t)blockIdx.y * rows + at.start + query] = total;
  typename Product<T>::Sum sums[D / 16];
#pragma unroll
  for (int j = 0; j < D / 16; j++) Product<T>::clear(sums[j]);
  for (int first = 0; first < keys; first += TILE) {
    __syncthreads();
    if (keys > TILE) load_tile<T, D>(k, base + hidden + first * stride, at.tokens - first, stride);
    load_tile<T, D>(v, base + 2 * hidden + first * stride, at.tokens - first, stride);
    __syncthreads();
    if (keys > TILE) score<T, D>(scores, q + warp * 16 * S::LD, k);
    __syncwarp();
    float w[32];
#pragma unroll
    for (int i = 0; i < 32; i++) {
      int c = column_of(i, lane), key = first + c;
      w[i] = at.seen(query, key) ? __expf(scores[row * SCORES + c] * scale - total) * at.keep(query, key) : 0.f;
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 32; i++) set(weights + row * S::WEIGHTS + column_of(i, lane), w[i]);
    __syncwarp();
    Product<T>::template by_rows<D / 16, TILE / 16>(sums, weights, S::WEIGHTS, v, S::LD);
    __syncwarp();
  }
  int own = at.first + warp * 16;
  write_rows<T, D>(out + (at.start + own) * (size_t)hidden + blockIdx.y * D, sums, scores, at.tokens - own, hidden);
}

// The gradient of the queries, into the first third of dqkv, and the inner product of each row of out and dout (delta,
// (heads, rows)), which the gradients of the keys need too.
template <class T, int D>
__device__ void attend_back_queries(const T *qkv, const uint32_t *starts, const uint32_t *tiles, const T *out, const T *dout,
                                    const float *lse, float *delta, T *dqkv, int rows, int hidden, float scale, int causal, Drop drop) {
  typedef Sizes<T, D> S;
  DYNAMIC_SHARED(memory);
  T *q = (T *)memory, *g = (T *)(memory + S::TILE_BYTES), *k = (T *)(memory + 2 * S::TILE_BYTES), *v = (T *)(memory + 3 * S::TILE_BYTES);
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, row = lane >> 1;
  float *scores = (float *)(memory + 4 * S::TILE_BYTES) + warp * 16 * SCORES, *slopes = scores + TILE * SCORES;
  T *weights = (T *)scores;
  Place at(starts, tiles, hidden, scale, causal, drop);
  size_t stride = 3 * (size_t)hidden, column = blockIdx.y * D;
  const T *base = qkv + at.start * stride + column;
  load_tile<T, D>(q, base + at.first * stride, at.tokens - at.first, stride);
  load_tile<T, D>(g, dout + (at.start + at.first) * (size_t)hidden + column, at.tokens - at.first, hidden);
  __syncthreads();
  int query = at.first + warp * 16 + row, keys = causal ? min(at.tokens, at.first + TILE) : at.tokens;
  size_t place = (size_t)blockIdx.y * rows + at.start + query;
  float inner = 0, total = 0;
  if (query < at.tokens) {
    total = lse[place];
#pragma unroll
    for (int c = (lane & 1) * 8; c < D; c += 16) {
      float o[8], d[8];
      load<8>(out + (at.start + query) * (size_t)hidden + column + c, o);
      load<8>(g + (warp * 16 + row) * S::LD + c, d);
      for (int j = 0; j < 8; j++) inner += o[j] * d[j];
    }
  }
  inner += __shfl_xor_sync(0xffffffffu, inner, 1);
  if (query < at.tokens && (lane & 1) == 0) delta[place] = inner;
  typename Product<T>::Sum sums[D / 16];
#pragma unroll
  for (int j = 0; j < D / 16; j++) Product<T>::clear(sums[j]);
  for (int first = 0; first < keys; first += TILE) {
    __syncthreads();
    load_tile<T, D>(k, base + hidden + first * stride, at.tokens - first, stride);
    load_tile<T, D>(v, base + 2 * hidden + first * stride, at.tokens - first, stride);
    __syncthreads();
    score<T, D>(scores, q + warp * 16 * S::LD, k);
    score<T, D>(slopes, g + warp * 16 * S::LD, v);
    __syncwarp();
    float d[32];
#pragma unroll
    for (int i = 0; i < 32; i++) {
      int c = column_of(i, lane), key = first + c;
      d[i] = 0;
      if (at.seen(query, key))
        d[i] = __expf(scores[row * SCORES + c] * scale - total) * (at.keep(query, key) * slopes[row * SCORES + c] - inner) * scale;
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 32; i++) set(weights + row * S::WEIGHTS + column_of(i, lane), d[i]);
    __syncwarp();
    Product<T>::template by_rows<D / 16, TILE / 16>(sums, weights, S::WEIGHTS, k, S::LD);
    __syncwarp();
  }
  int own = at.first + warp * 16;
  write_rows<T, D>(dqkv + (at.start + own) * stride + column, sums, scores, at.tokens - own, stride);
}

// The gradients of keys and values, into the other thirds of dqkv. Scores lie by keys here.
template <class T, int D>
__device__ void attend_back_keys(const T *qkv, const uint32_t *starts, const uint32_t *tiles, const T *dout, const float *lse,
                                 const float *delta, T *dqkv, int rows, int hidden, float scale, int causal, Drop drop) {
  typedef Sizes<T, D> S;
  DYNAMIC_SHARED(memory);
  T *k = (T *)memory, *v = (T *)(memory + S::TILE_BYTES), *q = (T *)(memory + 2 * S::TILE_BYTES), *g = (T *)(memory + 3 * S::TILE_BYTES);
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, row = lane >> 1;
  float *scores = (float *)(memory + 4 * S::TILE_BYTES) + warp * 16 * SCORES, *slopes = scores + TILE * SCORES;
  float *totals = (float *)(memory + 4 * S::TILE_BYTES + 2 * S::SCORE_BYTES), *inners = totals + TILE;
  T *weights = (T *)scores, *changes = (T *)slopes;
  Place at(starts, tiles, hidden, scale, causal, drop);
  size_t stride = 3 * (size_t)hidden, column = blockIdx.y * D;
  const T *base = qkv + at.start * stride + column;
  load_tile<T, D>(k, base + hidden + at.first * stride, at.tokens - at.first, stride);
  load_tile<T, D>(v, base + 2 * hidden + at.first * stride, at.tokens - at.first, stride);
  int key = at.first + warp * 16 + row;
  typename Product<T>::Sum dk[D / 16], dv[D / 16];
#pragma unroll
  for (int j = 0; j < D / 16; j++) Product<T>::clear(dk[j]), Product<T>::clear(dv[j]);
  for (int first = causal ? at.first : 0; first < at.tokens; first += TILE) {
    __syncthreads();
    load_tile<T, D>(q, base + first * stride, at.tokens - first, stride);
    load_tile<T, D>(g, dout + (at.start + first) * (size_t)hidden + column, at.tokens - first, hidden);
    if (threadIdx.x < TILE && first + threadIdx.x < at.tokens) {
      size_t place = (size_t)blockIdx.y * rows + at.start + first + threadIdx.x;
      totals[threadIdx.x] = lse[place], inners[threadIdx.x] = delta[place];
    }
    __syncthreads();
    score<T, D>(scores, k + warp * 16 * S::LD, q);
    score<T, D>(slopes, v + warp * 16 * S::LD, g);
    __syncwarp();
    float w[32], d[32];
#pragma unroll
    for (int i = 0; i < 32; i++) {
      int c = column_of(i, lane), query = first + c;
      w[i] = d[i] = 0;
      if (at.seen(query, key)) {
        float weight = __expf(scores[row * SCORES + c] * scale - totals[c]), kept = at.keep(query, key);
        w[i] = weight * kept;
        d[i] = weight * (kept * slopes[row * SCORES + c] - inners[c]) * scale;
      }
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 32; i++) {
      set(weights + row * S::WEIGHTS + column_of(i, lane), w[i]);
      set(changes + row * S::WEIGHTS + column_of(i, lane), d[i]);
    }
    __syncwarp();
    Product<T>::template by_rows<D / 16, TILE / 16>(dv, weights, S::WEIGHTS, g, S::LD);
    Product<T>::template by_rows<D / 16, TILE / 16>(dk, changes, S::WEIGHTS, q, S::LD);
    __syncwarp();
  }
  int own = at.first + warp * 16;
  T *to = dqkv + (at.start + own) * stride + column;
  write_rows<T, D>(to + hidden, dk, scores, at.tokens - own, stride);
  write_rows<T, D>(to + 2 * hidden, dv, scores, at.tokens - own, stride);
}

#define ATTENTION_KERNELS(T, S, D)                                                                                     \
  extern "C" __global__ void __launch_bounds__(BLOCK) attend_##S##_##D(                                                \
      const T *qkv, const uint32_t *starts, const uint32_t *tiles, T *out, float *lse, int rows, int hidden,           \
      float scale, int causal, uint32_t limit, uint32_t seed, float keep) {                                            \
    attend<T, D>(qkv, starts, tiles, out, lse, rows, hidden, scale, causal, Drop{limit, seed, keep});                  \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(BLOCK) attend_back_queries_##S##_##D(                                   \
      const T *qkv, const uint32_t *starts, const uint32_t *tiles, const T *out, const T *dout, const float *lse,      \
      float *delta, T *dqkv, int rows, int hidden, float scale, int causal, uint32_t limit, uint32_t seed,             \
      float keep) {                                                                                                    \
    attend_back_queries<T, D>(qkv, starts, tiles, out, dout, lse, delta, dqkv, rows, hidden, scale, causal,            \
                              Drop{limit, seed, keep});                                                                \
  }                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(BLOCK) attend_back_keys_##S##_##D(                                      \
      const T *qkv, const uint32_t *starts, const uint32_t *tiles, const T *dout, const float *lse,                    \
      const float *delta, T *dqkv, int rows, int hidden, float scale, int causal, uint32_t limit, uint32_t seed,       \
      float keep) {                                                                                                    \
    attend_back_keys<T, D>(qkv, starts, tiles, dout, lse, delta, dqkv, rows, hidden, scale, causal,                    \
                           Drop{limit, seed, keep});                                                                   \
  }
#define BOTH_SIZES(T, S) ATTENTION_KERNELS(T, S, 32) ATTENTION_KERNELS(T, S, 64)
FOR_TYPES(BOTH_SIZES)
