#include "gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sim {

void gemm(int m, int n, int k, const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc, bool accumulate) {
  const int wide = 64; // columns held in registers and the first-level cache
  for (int j0 = 0; j0 < n; j0 += wide) {
    int w = std::min(wide, n - j0);
    for (int i0 = 0; i0 < m; i0 += 4) {
      int h = std::min(4, m - i0);
      float sum[4][wide];
      for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) sum[i][j] = accumulate ? c[(size_t)(i0 + i) * ldc + (size_t)(j0 + j)] : 0;
      for (int p = 0; p < k; p++) {
        const float *row = b + (size_t)p * ldb + j0;
        for (int i = 0; i < h; i++) {
          float x = a[(size_t)(i0 + i) * lda + (size_t)p];
          if (w == wide)
            for (int j = 0; j < wide; j++) sum[i][j] = std::fma(x, row[j], sum[i][j]);
          else
            for (int j = 0; j < w; j++) sum[i][j] = std::fma(x, row[j], sum[i][j]);
        }
      }
      for (int i = 0; i < h; i++) memcpy(c + (size_t)(i0 + i) * ldc + j0, sum[i], (size_t)w * sizeof(float));
    }
  }
}

float tf32(float x) {
  unsigned u;
  memcpy(&u, &x, 4);
  if ((u & 0x7f800000u) != 0x7f800000u) u = (u + 0xfffu + (u >> 13 & 1)) & ~0x1fffu;
  memcpy(&x, &u, 4);
  return x;
}

}  // namespace sim
