// The matrix product of the cuDNN and cuBLAS stand-ins.
#pragma once
#include <cstddef>

namespace sim {

// c[m×n] = (accumulate ? c : 0) + a[m×k]·b[k×n], all row-major with rows of lda, ldb and ldc. Sums run over k in order, in float32
// with fma, as a GPU's do.
void gemm(int m, int n, int k, const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc, bool accumulate);

// x rounded to the 10 mantissa bits of TF32, to nearest even.
float tf32(float x);

}  // namespace sim
