// What the kernels share: 16-byte access, warp sums, dropout, and the two number types of activations.
//
// T is the type of activations and of their gradients, float or bf16; weights, statistics and sums are float.
#pragma once
#include <cuda_bf16.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16;

#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#endif

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void set(float *p, float x) { *p = x; }
__device__ __forceinline__ void set(bf16 *p, float x) { *p = __float2bfloat16(x); }

// N neighbouring values: eight with 16-byte access, or one.
template <int N> __device__ __forceinline__ void load(const float *p, float *v) {
  if (N == 8) {
    float4 a = *(const float4 *)p, b = *(const float4 *)(p + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  } else {
    v[0] = *p;
  }
}

// A bf16 is the upper half of a float.
__device__ __forceinline__ void split(uint32_t two, float *v) {
  v[0] = __uint_as_float(two << 16);
  v[1] = __uint_as_float(two & 0xffff0000u);
}

template <int N> __device__ __forceinline__ void load(const bf16 *p, float *v) {
  if (N == 8) {
    uint4 u = *(const uint4 *)p;
    split(u.x, v), split(u.y, v + 2), split(u.z, v + 4), split(u.w, v + 6);
  } else {
    v[0] = to_float(*p);
  }
}

template <int N> __device__ __forceinline__ void store(float *p, const float *v) {
  if (N == 8) {
    *(float4 *)p = make_float4(v[0], v[1], v[2], v[3]);
    *(float4 *)(p + 4) = make_float4(v[4], v[5], v[6], v[7]);
  } else {
    *p = v[0];
  }
}

__device__ __forceinline__ uint32_t join(float a, float b) {
  __nv_bfloat162 two = __floats2bfloat162_rn(a, b);
  return *(uint32_t *)&two;
}

template <int N> __device__ __forceinline__ void store(bf16 *p, const float *v) {
  if (N == 8) {
    *(uint4 *)p = make_uint4(join(v[0], v[1]), join(v[2], v[3]), join(v[4], v[5]), join(v[6], v[7]));
  } else {
    set(p, v[0]);
  }
}

// The value as it is after being stored.
__device__ __forceinline__ float rounded(float x, const float *) { return x; }
__device__ __forceinline__ float rounded(float x, const bf16 *) { return to_float(__float2bfloat16(x)); }

__device__ __forceinline__ float warp_sum(float x) {
  for (int step = 16; step; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

__device__ __forceinline__ float warp_max(float x) {
  for (int step = 16; step; step >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}

// Dropout by position, as `Dropout::factor` on the CPU. A limit of 0 drops nothing, and keep is 1 then.
struct Drop {
  uint32_t limit, seed;
  float keep;
};

__device__ __forceinline__ uint32_t mix32(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

__device__ __forceinline__ float factor(Drop drop, uint32_t position) {
  return drop.limit && mix32((position * 0x9e3779b9u) ^ drop.seed) < drop.limit ? 0.f : drop.keep;
}

__device__ __forceinline__ Drop part(Drop drop, uint32_t number) {
  drop.seed = mix32(drop.seed ^ mix32(number + 0x632be5abu));
  return drop;
}

// f(T, suffix) for both types of activations.
#define FOR_TYPES(f) f(float, f32) f(bf16, bf16)
