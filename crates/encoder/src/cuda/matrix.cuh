// The matrix units, as PTX has them (PTX ISA, "Matrix multiply-accumulate", mma.m16n8k16). In all of it lane l is row
// l / 4 of eight and column pair l % 4 of four.
#ifndef MATRIX_UNITS
#define MATRIX_UNITS
#include "common.cuh"

// Four 8 by 8 matrices out of shared memory; lane l names row l % 8 of matrix l / 8.
__device__ __forceinline__ void load_matrices(uint32_t *to, const bf16 *row) {
  uint32_t place = (uint32_t)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(place)
               : "memory");
}

// The same, each matrix turned.
__device__ __forceinline__ void load_turned(uint32_t *to, const bf16 *row) {
  uint32_t place = (uint32_t)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(place)
               : "memory");
}

// c (16, 8) += a (16, 16) b (16, 8).
__device__ __forceinline__ void multiply(float *c, const uint32_t *a, uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif
