// Self-attention of packed texts, forward and backward (the scheme of Dao 2023, https://arxiv.org/abs/2307.08691). A
// block of four warps takes 64 queries (or keys) of one head of one text and goes over the keys (or queries) in tiles
// of 64; a warp takes 16 rows. Scores stay in registers, and nothing grows with the length of a text. The backward
// pass computes them again: by tiles of queries for the gradient of the queries, by tiles of keys for those of keys
// and values, so no two blocks write to the same place.
//
// Sums of a warp, (16, 8 N), lie as the matrix units want them: c[n][e] of a lane is row lane / 4 + 8 (e / 2), column
// 8 n + 2 (lane % 4) + e % 2.
#include "common.cuh"
#include "matrix.cuh"

// Rows of a tile, and columns that a warp takes at a time.
constexpr int TILE = 64, CHUNK = 32, BLOCK = 128;
constexpr float LOG2_E = 1.44269504f, LN_2 = 0.69314718f;

// Length of a row in shared memory; what is above D keeps rows apart in its banks.
template <class T, int D> __device__ constexpr int row_length() { return D + 16 / sizeof(T); }

// The place of a lane in the sums of its warp.
struct Lane {
  int row, column;
  __device__ Lane() : row((threadIdx.x & 31) >> 2), column((threadIdx.x & 3) * 2) {}
};

// C (16, 8 N) += A (16, 16 K) B: a by rows from shared memory; B[k][n] is b[n * ld + k].
template <int N, int K> __device__ __forceinline__ void by_columns(float (*c)[4], const bf16 *a, const bf16 *b, int ld) {
  int lane = threadIdx.x & 31;
  a += (lane & 15) * ld + (lane >> 4) * 8;
  b += ((lane & 7) + (lane >> 4) * 8) * ld + ((lane >> 3) & 1) * 8;
#pragma unroll
  for (int k = 0; k < K; k++) {
    uint32_t left[4], right[4];
    load_matrices(left, a + 16 * k);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      load_matrices(right, b + 8 * n * ld + 16 * k);
      multiply(c[n], left, right[0], right[1]);
      multiply(c[n + 1], left, right[2], right[3]);
    }
  }
}

template <int N, int K> __device__ __forceinline__ void by_columns(float (*c)[4], const float *a, const float *b, int ld) {
  Lane own;
  for (int k = 0; k < 16 * K; k++) {
    float left[2] = {a[own.row * ld + k], a[(own.row + 8) * ld + k]};
#pragma unroll
    for (int n = 0; n < N; n++)
      for (int e = 0; e < 4; e++) c[n][e] += left[e >> 1] * b[(8 * n + own.column + (e & 1)) * ld + k];
  }
}

// C (16, 8 N) += P (16, 16 K) B: P are sums of the warp; B[k][n] is b[k * ld + n].
template <int N, int K> __device__ __forceinline__ void by_rows(float (*c)[4], const float (*p)[4], const bf16 *b, int ld) {
  int lane = threadIdx.x & 31;
  b += (lane & 15) * ld + (lane >> 4) * 8;
#pragma unroll
  for (int k = 0; k < K; k++) {
    const float *low = p[2 * k], *high = p[2 * k + 1];
    uint32_t left[4] = {join(low[0], low[1]), join(low[2], low[3]), join(high[0], high[1]), join(high[2], high[3])};
    uint32_t right[4];
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      load_turned(right, b + 16 * k * ld + 8 * n);
      multiply(c[n], left, right[0], right[1]);
      multiply(c[n + 1], left, right[2], right[3]);
    }
  }
}

template <int N, int K> __device__ __forceinline__ void by_rows(float (*c)[4], const float (*p)[4], const float *b, int ld) {
  Lane own;
#pragma unroll
  for (int k = 0; k < 16 * K; k++) {
    // Which lane of the four of a row holds column k.
    int holder = (threadIdx.x & 28) | ((k & 7) >> 1);
    float left[2];
    for (int half = 0; half < 2; half++) left[half] = __shfl_sync(0xffffffffu, p[k >> 3][2 * half + (k & 1)], holder);
#pragma unroll
    for (int n = 0; n < N; n++)
      for (int e = 0; e < 4; e++) c[n][e] += left[e >> 1] * b[k * ld + 8 * n + own.column + (e & 1)];
  }
}

// Over the four lanes that share a row.
__device__ __forceinline__ float row_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

__device__ __forceinline__ float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

template <int N> __device__ __forceinline__ void clear(float (*c)[4]) {
#pragma unroll
  for (int n = 0; n < N; n++)
    for (int e = 0; e < 4; e++) c[n][e] = 0;
}

// Where a block and its warp work, the same in all kernels.
struct Place {
  int start, tokens, first, own;
  float scale;
  bool causal;
  Drop drop;
  __device__ Place(const uint32_t *starts, const uint32_t *tiles, float scale, int causal, Drop all) : scale(scale), causal(causal) {
    int text = tiles[2 * blockIdx.x];
    start = starts[text];
    tokens = starts[text + 1] - start;
    first = tiles[2 * blockIdx.x + 1] * TILE;
    own = first + (threadIdx.x >> 5) * 16;
    drop = part(all, text * gridDim.y + blockIdx.y);
  }
  __device__ __forceinline__ bool seen(int query, int key) const {
    return query < tokens && key < tokens && (!causal || key <= query);
  }
  // Whether all of these queries see all of these keys.
  __device__ __forceinline__ bool all_seen(int query, int queries, int key, int keys) const {
    return query + queries <= tokens && key + keys <= tokens && (!causal || key + keys <= query + 1);
  }
  __device__ __forceinline__ float keep(int query, int key) const { return factor(drop, (uint32_t)(query * tokens + key)); }
};

// Copies 64 rows of D values, with zeros from `valid` on.
template <class T, int D> __device__ __forceinline__ void load_tile(T *to, const T *from, int valid, size_t stride) {
  constexpr int EACH = 16 / sizeof(T), PARTS = D / EACH;
#pragma unroll
  for (int at = threadIdx.x; at < TILE * PARTS; at += BLOCK) {
    int row = at / PARTS, c = at % PARTS * EACH;
    uint4 value = make_uint4(0, 0, 0, 0);
    if (row < valid) value = *(const uint4 *)(from + row * stride + c);
    *(uint4 *)(to + row * row_length<T, D>() + c) = value;
  }
}

__device__ __forceinline__ void set_pair(float *p, float a, float b) { p[0] = a, p[1] = b; }
__device__ __forceinline__ void set_pair(bf16 *p, float a, float b) { *(uint32_t *)p = join(a, b); }

// Writes the rows of a warp below `valid`, by way of 16 rows of shared memory that only this warp still uses.
template <class T, int D> __device__ __forceinline__ void write_rows(T *to, const float (*c)[4], T *stage, int valid, size_t stride) {
  constexpr int EACH = 16 / sizeof(T), PARTS = D / EACH, LENGTH = row_length<T, D>();
  Lane own;
  __syncwarp();
#pragma unroll
  for (int n = 0; n < D / 8; n++)
    for (int half = 0; half < 2; half++)
      set_pair(stage + (own.row + 8 * half) * LENGTH + 8 * n + own.column, c[n][2 * half], c[n][2 * half + 1]);
  __syncwarp();
  for (int at = threadIdx.x & 31; at < 16 * PARTS; at += 32) {
    int row = at / PARTS, column = at % PARTS * EACH;
    if (row < valid) *(uint4 *)(to + row * stride + column) = *(const uint4 *)(stage + row * LENGTH + column);
  }
}

// qkv (rows, 3 hidden) to out (rows, hidden) and the logarithm of the sum of exponentials (heads, rows).
template <class T, int D>
__device__ void attend(const T *qkv, const uint32_t *starts, const uint32_t *tiles, T *out, float *lse, int rows, int hidden,
                       float scale, int causal, Drop drop) {
  constexpr int LENGTH = row_length<T, D>();
  DYNAMIC_SHARED(memory);
  T *q = (T *)memory, *k = q + TILE * LENGTH, *v = k + TILE * LENGTH;
  Place at(starts, tiles, scale, causal, drop);
  Lane lane;
  size_t stride = 3 * (size_t)hidden;
  const T *base = qkv + at.start * stride + blockIdx.y * D;
  T *queries = q + (at.own - at.first) * LENGTH;
  load_tile<T, D>(q, base + at.first * stride, at.tokens - at.first, stride);
  int query = at.own + lane.row, keys = causal ? min(at.tokens, at.first + TILE) : at.tokens;
  // Exponentials are to base 2 here.
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0}, sums[D / 8][4], to_base = scale * LOG2_E;
  clear<D / 8>(sums);
  for (int first = 0; first < keys; first += TILE) {
    __syncthreads();
    load_tile<T, D>(k, base + hidden + first * stride, at.tokens - first, stride);
    load_tile<T, D>(v, base + 2 * hidden + first * stride, at.tokens - first, stride);
    __syncthreads();
    if (at.own >= at.tokens) continue;
    for (int part = 0; part < TILE && first + part < keys; part += CHUNK) {
      float s[CHUNK / 8][4], most[2] = {top[0], top[1]};
      clear<CHUNK / 8>(s);
      by_columns<CHUNK / 8, D / 16>(s, queries, k + part * LENGTH, LENGTH);
      int key = first + part + lane.column;
      bool whole = at.all_seen(at.own, 16, first + part, CHUNK);
#pragma unroll
      for (int n = 0; n < CHUNK / 8; n++)
        for (int e = 0; e < 4; e++) {
          bool seen = whole || at.seen(query + 8 * (e >> 1), key + 8 * n + (e & 1));
          s[n][e] = seen ? s[n][e] * to_base : -INFINITY;
          most[e >> 1] = fmaxf(most[e >> 1], s[n][e]);
        }
      for (int half = 0; half < 2; half++) {
        most[half] = row_max(most[half]);
        // A row that has seen nothing yet stays out of the arithmetic with infinities.
        float from = most[half] > -INFINITY ? most[half] : 0.f, change = exp2f(top[half] - from);
        top[half] = most[half], most[half] = from;
        sum[half] *= change;
#pragma unroll
        for (int n = 0; n < D / 8; n++) sums[n][2 * half] *= change, sums[n][2 * half + 1] *= change;
      }
#pragma unroll
      for (int n = 0; n < CHUNK / 8; n++)
        for (int e = 0; e < 4; e++) {
          float weight = exp2f(s[n][e] - most[e >> 1]);
          sum[e >> 1] += weight;
          s[n][e] = weight * at.keep(query + 8 * (e >> 1), key + 8 * n + (e & 1));
        }
      by_rows<D / 8, CHUNK / 16>(sums, s, v + part * LENGTH, LENGTH);
    }
  }
  if (at.own >= at.tokens) return;
  for (int half = 0; half < 2; half++) {
    sum[half] = row_sum(sum[half]);
    int own = query + 8 * half;
    if (own < at.tokens && lane.column == 0) lse[(size_t)blockIdx.y * rows + at.start + own] = (top[half] + log2f(sum[half])) * LN_2;
    float whole = sum[half] > 0 ? 1.f / sum[half] : 0.f;
#pragma unroll
    for (int n = 0; n < D / 8; n++) sums[n][2 * half] *= whole, sums[n][2 * half + 1] *= whole;
  }
  write_rows<T, D>(out + (at.start + at.own) * (size_t)hidden + blockIdx.y * D, sums, queries, at.tokens - at.own, hidden);
}

// The gradient of the queries, into the first third of dqkv, and the inner product of each row of out and dout (delta,
// (heads, rows)), which the gradients of the keys need too.
template <class T, int D>
__device__ void attend_back_queries(const T *qkv, const uint32_t *starts, const uint32_t *tiles, const T *out, const T *dout,
                                    const float *lse, float *delta, T *dqkv, int rows, int hidden, float scale, int causal, Drop drop) {
  constexpr int LENGTH = row_length<T, D>();
  DYNAMIC_SHARED(memory);
  T *q = (T *)memory, *g = q + TILE * LENGTH, *k = g + TILE * LENGTH, *v = k + TILE * LENGTH;
  Place at(starts, tiles, scale, causal, drop);
  Lane lane;
  size_t stride = 3 * (size_t)hidden, column = blockIdx.y * D;
  const T *base = qkv + at.start * stride + column;
  T *queries = q + (at.own - at.first) * LENGTH, *slopes = g + (at.own - at.first) * LENGTH;
  load_tile<T, D>(q, base + at.first * stride, at.tokens - at.first, stride);
  load_tile<T, D>(g, dout + (at.start + at.first) * (size_t)hidden + column, at.tokens - at.first, hidden);
  __syncthreads();
  int query = at.own + lane.row, keys = causal ? min(at.tokens, at.first + TILE) : at.tokens;
  float total[2] = {0, 0}, inner[2] = {0, 0}, sums[D / 8][4], to_base = scale * LOG2_E;
  for (int half = 0; half < 2; half++) {
    int own = query + 8 * half;
    size_t place = (size_t)blockIdx.y * rows + at.start + own;
    if (own < at.tokens) {
      total[half] = lse[place] * LOG2_E;
#pragma unroll
      for (int c = lane.column * 4; c < D; c += 32) {
        float o[8], d[8];
        load<8>(out + (at.start + own) * (size_t)hidden + column + c, o);
        load<8>(slopes + (lane.row + 8 * half) * LENGTH + c, d);
        for (int j = 0; j < 8; j++) inner[half] += o[j] * d[j];
      }
    }
    inner[half] = row_sum(inner[half]);
    if (own < at.tokens && lane.column == 0) delta[place] = inner[half];
  }
  clear<D / 8>(sums);
  for (int first = 0; first < keys; first += TILE) {
    __syncthreads();
    load_tile<T, D>(k, base + hidden + first * stride, at.tokens - first, stride);
    load_tile<T, D>(v, base + 2 * hidden + first * stride, at.tokens - first, stride);
    __syncthreads();
    if (at.own >= at.tokens) continue;
    for (int part = 0; part < TILE && first + part < keys; part += CHUNK) {
      float s[CHUNK / 8][4], d[CHUNK / 8][4];
      clear<CHUNK / 8>(s), clear<CHUNK / 8>(d);
      by_columns<CHUNK / 8, D / 16>(s, queries, k + part * LENGTH, LENGTH);
      by_columns<CHUNK / 8, D / 16>(d, slopes, v + part * LENGTH, LENGTH);
      int key = first + part + lane.column;
      bool whole = at.all_seen(at.own, 16, first + part, CHUNK);
#pragma unroll
      for (int n = 0; n < CHUNK / 8; n++)
        for (int e = 0; e < 4; e++) {
          int half = e >> 1, from = query + 8 * half, to = key + 8 * n + (e & 1);
          float weight = exp2f(s[n][e] * to_base - total[half]);
          float change = weight * (at.keep(from, to) * d[n][e] - inner[half]) * scale;
          d[n][e] = whole || at.seen(from, to) ? change : 0.f;
        }
      by_rows<D / 8, CHUNK / 16>(sums, d, k + part * LENGTH, LENGTH);
    }
  }
  if (at.own >= at.tokens) return;
  write_rows<T, D>(dqkv + (at.start + at.own) * stride + column, sums, queries, at.tokens - at.own, stride);
}

// The gradients of keys and values, into the other thirds of dqkv. Scores lie by keys here.
template <class T, int D>
__device__ void attend_back_keys(const T *qkv, const uint32_t *starts, const uint32_t *tiles, const T *dout, const float *lse,
                                 const float *delta, T *dqkv, int rows, int hidden, float scale, int causal, Drop drop) {
  constexpr int LENGTH = row_length<T, D>();
  DYNAMIC_SHARED(memory);
  T *k = (T *)memory, *v = k + TILE * LENGTH, *q = v + TILE * LENGTH, *g = q + TILE * LENGTH;
  float *totals = (float *)(g + TILE * LENGTH), *inners = totals + TILE;
  Place at(starts, tiles, scale, causal, drop);
  Lane lane;
  size_t stride = 3 * (size_t)hidden, column = blockIdx.y * D;
  const T *base = qkv + at.start * stride + column;
  T *keys = k + (at.own - at.first) * LENGTH, *values = v + (at.own - at.first) * LENGTH;
  load_tile<T, D>(k, base + hidden + at.first * stride, at.tokens - at.first, stride);
  load_tile<T, D>(v, base + 2 * hidden + at.first * stride, at.tokens - at.first, stride);
  int key = at.own + lane.row;
  float dk[D / 8][4], dv[D / 8][4], to_base = scale * LOG2_E;
  clear<D / 8>(dk), clear<D / 8>(dv);
  for (int first = causal ? at.first : 0; first < at.tokens; first += TILE) {
    __syncthreads();
    load_tile<T, D>(q, base + first * stride, at.tokens - first, stride);
    load_tile<T, D>(g, dout + (at.start + first) * (size_t)hidden + column, at.tokens - first, hidden);
    if (threadIdx.x < TILE) {
      bool there = first + (int)threadIdx.x < at.tokens;
      size_t place = (size_t)blockIdx.y * rows + at.start + first + threadIdx.x;
      totals[threadIdx.x] = there ? lse[place] * LOG2_E : 0.f, inners[threadIdx.x] = there ? delta[place] : 0.f;
    }
    __syncthreads();
    if (at.own >= at.tokens) continue;
    for (int part = 0; part < TILE && first + part < at.tokens; part += CHUNK) {
      float s[CHUNK / 8][4], d[CHUNK / 8][4];
      clear<CHUNK / 8>(s), clear<CHUNK / 8>(d);
      by_columns<CHUNK / 8, D / 16>(s, keys, q + part * LENGTH, LENGTH);
      by_columns<CHUNK / 8, D / 16>(d, values, g + part * LENGTH, LENGTH);
      bool whole = at.all_seen(first + part, CHUNK, at.own, 16);
#pragma unroll
      for (int n = 0; n < CHUNK / 8; n++)
        for (int e = 0; e < 4; e++) {
          int c = part + 8 * n + lane.column + (e & 1), from = first + c, to = key + 8 * (e >> 1);
          float weight = exp2f(s[n][e] * to_base - totals[c]), kept = at.keep(from, to);
          bool seen = whole || at.seen(from, to);
          s[n][e] = seen ? weight * kept : 0.f;
          d[n][e] = seen ? weight * (kept * d[n][e] - inners[c]) * scale : 0.f;
        }
      by_rows<D / 8, CHUNK / 16>(dv, s, g + part * LENGTH, LENGTH);
      by_rows<D / 8, CHUNK / 16>(dk, d, q + part * LENGTH, LENGTH);
    }
  }
  if (at.own >= at.tokens) return;
  T *to = dqkv + (at.start + at.own) * stride + column;
  write_rows<T, D>(to + hidden, dk, keys, at.tokens - at.own, stride);
  write_rows<T, D>(to + 2 * hidden, dv, values, at.tokens - at.own, stride);
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
