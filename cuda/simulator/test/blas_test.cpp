// The cuBLAS stand-in: products against plain loops, and every check of arguments.
#include <cublas_v2.h>

#include "harness.h"

struct Blas {
  cublasHandle_t h;
  CUstream s;
  Blas() {
    context();
    OK(cublasCreate(&h));
    OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    OK(cublasSetStream(h, (cudaStream_t)s));
  }
};

static const float alpha = 0.5f, beta = 2;

TEST("every transposition", [] {
  Blas b;
  const int m = 5, n = 4, k = 7, ld = 9;
  for (int ta = 0; ta < 2; ta++)
    for (int tb = 0; tb < 2; tb++) {
      auto x = numbers(ld * 9, 1), y = numbers(ld * 9, 2), z = numbers(ld * n, 3);
      CUdeviceptr gx = upload(x), gy = upload(y), gz = upload(z);
      OK(cublasSgemm(b.h, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha, (float *)gx, ld, (float *)gy, ld, &beta, (float *)gz, ld));
      OK(cuStreamSynchronize(b.s));
      auto got = download(gz, z.size());
      for (int j = 0; j < n; j++)
        for (int i = 0; i < ld; i++) {
          double want = z[j * ld + i];
          if (i < m) {
            double sum = 0;
            for (int q = 0; q < k; q++) sum += (double)x[ta ? i * ld + q : q * ld + i] * y[tb ? q * ld + j : j * ld + q];
            want = alpha * sum + beta * want;
          }
          CHECK(std::fabs(got[j * ld + i] - want) < 2e-6);
        }
    }
});
TEST("strided batches", [] {
  Blas b;
  const int m = 2, n = 3, k = 4, count = 3;
  auto x = numbers(m * k * count, 4), y = numbers(k * n * count, 5);
  CUdeviceptr gx = upload(x), gy = upload(y), gz = allocate(m * n * count * 4);
  const float one = 1, zero = 0;
  OK(cublasSgemmStridedBatched(b.h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, (float *)gx, m, m * k, (float *)gy, k, k * n, &zero, (float *)gz, m, m * n, count));
  OK(cuStreamSynchronize(b.s));
  auto got = download(gz, m * n * count);
  for (int c = 0; c < count; c++)
    for (int j = 0; j < n; j++)
      for (int i = 0; i < m; i++) {
        double sum = 0;
        for (int q = 0; q < k; q++) sum += (double)x[c * m * k + q * m + i] * y[c * k * n + j * k + q];
        CHECK(std::fabs(got[c * m * n + j * m + i] - sum) < 1e-6);
      }
});
TEST("TF32 only where asked for", [] {
  Blas b;
  const float one = 1, zero = 0;
  CUdeviceptr x = upload({1 + 0x1p-20f}), y = upload({1}), z = allocate(4);
  auto product = [&] {
    OK(cublasSgemm(b.h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, (float *)x, 1, (float *)y, 1, &zero, (float *)z, 1));
    OK(cuStreamSynchronize(b.s));
    return download(z, 1)[0];
  };
  CHECK(product() == 1 + 0x1p-20f);
  OK(cublasSetMathMode(b.h, CUBLAS_TF32_TENSOR_OP_MATH));
  CHECK(product() == 1);
  OK(cublasSetMathMode(b.h, CUBLAS_PEDANTIC_MATH));
  CHECK(product() == 1 + 0x1p-20f);
});
TEST("scalars on the device", [] {
  Blas b;
  CUdeviceptr s = upload({3, 0}), x = upload({2}), z = allocate(4);
  OK(cublasSetPointerMode(b.h, CUBLAS_POINTER_MODE_DEVICE));
  OK(cublasSgemm(b.h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, (float *)s, (float *)x, 1, (float *)x, 1, (float *)(s + 4), (float *)z, 1));
  OK(cuStreamSynchronize(b.s));
  CHECK(download(z, 1)[0] == 12);
});
TEST("GemmEx", [] {
  Blas b;
  const float one = 1, zero = 0;
  CUdeviceptr x = upload({2}), z = allocate(4);
  OK(cublasGemmEx(b.h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, (void *)x, CUDA_R_32F, 1, (void *)x, CUDA_R_32F, 1, &zero, (void *)z, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  OK(cuStreamSynchronize(b.s));
  CHECK(download(z, 1)[0] == 4);
  EXPECT(CUBLAS_STATUS_NOT_SUPPORTED, cublasGemmEx(b.h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, (void *)x, CUDA_R_16F, 1, (void *)x, CUDA_R_32F, 1, &zero, (void *)z, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}, "only CUDA_R_32F");

static int gemm(Blas &b, int m, int n, int k, int lda, int ldb, int ldc, CUdeviceptr x, CUdeviceptr y, CUdeviceptr z) { return cublasSgemm(b.h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, (float *)x, lda, (float *)y, ldb, &beta, (float *)z, ldc); }

TEST("leading dimensions", [] {
  Blas b;
  CUdeviceptr p = allocate(1024), q = allocate(1024), r = allocate(1024);
  EXPECT(CUBLAS_STATUS_INVALID_VALUE, gemm(b, 4, 4, 4, 3, 4, 4, p, q, r));
  EXPECT(CUBLAS_STATUS_INVALID_VALUE, gemm(b, 4, 4, 4, 4, 3, 4, p, q, r));
  EXPECT(CUBLAS_STATUS_INVALID_VALUE, gemm(b, 4, 4, 4, 4, 4, 3, p, q, r));
  EXPECT(CUBLAS_STATUS_INVALID_VALUE, gemm(b, -1, 4, 4, 4, 4, 4, p, q, r));
}, "ldc is 3, C has 4 rows");
TEST("overlap", [] {
  Blas b;
  CUdeviceptr p = allocate(1024), q = allocate(1024);
  EXPECT(CUBLAS_STATUS_INVALID_VALUE, gemm(b, 4, 4, 4, 4, 4, 4, p, q, p + 32));
}, "C overlaps A or B");
TEST("too little memory", [] {
  Blas b;
  CUdeviceptr p = allocate(64), q = allocate(64), r = allocate(60);
  OK(gemm(b, 4, 4, 4, 4, 4, 4, p, q, r));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(b.s));
  EXPECT(CUBLAS_STATUS_EXECUTION_FAILED, gemm(b, 4, 4, 4, 4, 4, 4, p, q, r));
}, "cublasSgemm, C");
TEST("capture needs a workspace", [] {
  Blas b;
  CUdeviceptr p = upload(numbers(16, 6)), q = upload(numbers(16, 7)), r = upload(numbers(16, 8)), w = allocate(1 << 16);
  CUgraph g;
  CUgraphExec e;
  OK(cuStreamBeginCapture(b.s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  EXPECT(CUBLAS_STATUS_INTERNAL_ERROR, gemm(b, 4, 4, 4, 4, 4, 4, p, q, r));
  EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(b.s, &g));
  OK(cublasSetWorkspace(b.h, (void *)w, 1 << 16));
  OK(cuStreamBeginCapture(b.s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(gemm(b, 4, 4, 4, 4, 4, 4, p, q, r));
  OK(cuStreamEndCapture(b.s, &g));
  OK(cuGraphInstantiateWithFlags(&e, g, 0));
  auto before = download(r, 16);
  OK(cuGraphLaunch(e, b.s));
  OK(cuStreamSynchronize(b.s));
  CHECK(download(r, 16) != before);
}, "without cublasSetWorkspace");
TEST("a destroyed handle", [] {
  Blas b;
  OK(cublasDestroy(b.h));
  EXPECT(CUBLAS_STATUS_NOT_INITIALIZED, cublasSetMathMode(b.h, CUBLAS_PEDANTIC_MATH));
}, "this is no living handle");

int main(int, char **) { return run_all(); }
