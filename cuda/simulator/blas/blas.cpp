// The used part of cuBLAS, written from its documentation: handles, modes and matrix products of column-major float32 matrices.
//
// A call's arguments are checked as cuBLAS does (dimensions and leading dimensions) and beyond: overlap of the result with an
// operand, and a handle of another context. Under capture, cuBLAS needs a workspace of the caller's: it may not allocate one.
#include <cublas_v2.h>

#include <cmath>
#include <cstring>
#include <set>

#include "../core/device.h"
#include "../core/gemm.h"

using namespace sim;

namespace {

struct BlasError : std::runtime_error {
  cublasStatus_t status;
  BlasError(cublasStatus_t s, const std::string &what) : std::runtime_error(what), status(s) {}
};

[[noreturn]] void invalid(const std::string &what) { throw BlasError(CUBLAS_STATUS_INVALID_VALUE, what); }

struct Handle {
  Context *context;
  CUstream stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
  void *workspace = nullptr;
  size_t workspace_bytes = 0;
};

std::set<Handle *> &handles() {
  static auto &h = *new std::set<Handle *>;
  return h;
}

Handle &get(cublasHandle_t h) {
  if (!handles().count((Handle *)h)) throw BlasError(CUBLAS_STATUS_NOT_INITIALIZED, "this is no living handle");
  return *(Handle *)h;
}

Handle &running(cublasHandle_t h) {
  Handle &handle = get(h);
  if (device().error) throw BlasError(CUBLAS_STATUS_EXECUTION_FAILED, format("the device failed before: %s", error_name(device().error)));
  if (current() != handle.context || !handle.context->live) throw BlasError(CUBLAS_STATUS_NOT_INITIALIZED, "the handle was created under another context than the thread's current one");
  return handle;
}

template <class F>
cublasStatus_t blas_call(const char *name, Counter &count, F f) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  count.value++;
  counter("calls").value++;
  try {
    if (int code = injected(name)) return (cublasStatus_t)code;
    f();
    return CUBLAS_STATUS_SUCCESS;
  } catch (const BlasError &e) {
    say(std::string(name) + ": " + e.what());
    return e.status;
  } catch (const Fault &e) {
    failed(name, e);
    return e.code == CUDA_ERROR_OUT_OF_MEMORY ? CUBLAS_STATUS_ALLOC_FAILED : CUBLAS_STATUS_EXECUTION_FAILED;
  }
}

#define BLAS(...)                                                                             \
  static ::sim::Counter &counted = ::sim::counter((std::string("call.") + __func__).c_str()); \
  return blas_call(__func__, counted, [&] { __VA_ARGS__ });

struct Product {
  cublasOperation_t ta, tb;
  int m, n, k, lda, ldb, ldc, count;
  long long sa, sb, sc;
  const float *a, *b;
  float *c;
  const float *alpha, *beta;
  bool tf32;
};

// Bytes from the first matrix' start to the last one's end.
u64 extent(int rows, int cols, int ld, long long stride, int count) {
  if (!rows || !cols || !count) return 0;
  return ((u64)(stride * (count - 1)) + (u64)ld * (u64)(cols - 1) + (u64)rows) * sizeof(float);
}

// One product on the host: row-major cᵀ = op(b)ᵀ·op(a)ᵀ.
void multiply(const Product &p, const float *a, const float *b, float *c, float alpha, float beta) {
  std::vector<float> left((size_t)p.n * p.k), right((size_t)p.k * p.m), out((size_t)p.n * p.m);
  for (int j = 0; j < p.n; j++)
    for (int q = 0; q < p.k; q++) {
      float v = p.tb == CUBLAS_OP_N ? b[(size_t)j * p.ldb + q] : b[(size_t)q * p.ldb + j];
      left[(size_t)j * p.k + q] = p.tf32 ? tf32(v) : v;
    }
  for (int q = 0; q < p.k; q++)
    for (int i = 0; i < p.m; i++) {
      float v = p.ta == CUBLAS_OP_N ? a[(size_t)q * p.lda + i] : a[(size_t)i * p.lda + q];
      right[(size_t)q * p.m + i] = p.tf32 ? tf32(v) : v;
    }
  gemm(p.n, p.m, p.k, left.data(), (size_t)p.k, right.data(), (size_t)p.m, out.data(), (size_t)p.m, false);
  for (int j = 0; j < p.n; j++)
    for (int i = 0; i < p.m; i++) {
      float &y = c[(size_t)j * p.ldc + i];
      y = beta == 0 ? alpha * out[(size_t)j * p.m + i] : alpha * out[(size_t)j * p.m + i] + beta * y;
    }
}

void product(Handle &h, const char *name, Product p) {
  auto op = [](cublasOperation_t t) { return t == CUBLAS_OP_N || t == CUBLAS_OP_T || t == CUBLAS_OP_C; };
  if (!op(p.ta) || !op(p.tb)) throw BlasError(CUBLAS_STATUS_INVALID_VALUE, "unknown operation");
  if (p.m < 0 || p.n < 0 || p.k < 0 || p.count < 0) invalid(format("m %d, n %d, k %d, %d matrices", p.m, p.n, p.k, p.count));
  int rows_a = p.ta == CUBLAS_OP_N ? p.m : p.k, cols_a = p.ta == CUBLAS_OP_N ? p.k : p.m;
  int rows_b = p.tb == CUBLAS_OP_N ? p.k : p.n, cols_b = p.tb == CUBLAS_OP_N ? p.n : p.k;
  if (p.lda < std::max(1, rows_a)) invalid(format("lda is %d, A has %d rows", p.lda, rows_a));
  if (p.ldb < std::max(1, rows_b)) invalid(format("ldb is %d, B has %d rows", p.ldb, rows_b));
  if (p.ldc < std::max(1, p.m)) invalid(format("ldc is %d, C has %d rows", p.ldc, p.m));
  if (!p.alpha || !p.beta) invalid("alpha or beta is null");
  if (!p.m || !p.n || !p.count) return;
  u64 na = extent(rows_a, cols_a, p.lda, p.sa, p.count), nb = extent(rows_b, cols_b, p.ldb, p.sb, p.count), nc = extent(p.m, p.n, p.ldc, p.sc, p.count);
  if (p.count > 1 && p.sc < (long long)p.ldc * (p.n - 1) + p.m) invalid("the results overlap one another");
  auto overlap = [&](const float *x, u64 bytes) { return (u64)x < (u64)p.c + nc && (u64)p.c < (u64)x + bytes; };
  if (overlap(p.a, na) || overlap(p.b, nb)) invalid("C overlaps A or B");
  if ((u64)p.a % 4 || (u64)p.b % 4 || (u64)p.c % 4) invalid("a matrix is not aligned to its elements");
  bool host = h.pointers == CUBLAS_POINTER_MODE_HOST;
  float alpha = host ? *p.alpha : 0, beta = host ? *p.beta : 0;
  Stream *s = stream_of(h.stream);
  if (s->capture && !h.workspace) {
    invalidate(s->capture);
    throw BlasError(CUBLAS_STATUS_INTERNAL_ERROR, "the simulator refuses a captured call of a handle without cublasSetWorkspace");
  }
  void *space = h.workspace;
  size_t space_bytes = h.workspace_bytes;
  counter(s->capture ? "captured library calls" : "library calls").value++;
  std::string call = name;
  submit(s, CU_GRAPH_NODE_TYPE_KERNEL, call, [=] {
    count_run(call);
    Heap &heap = device().heap;
    float x = host ? alpha : *(float *)heap.resolve((u64)p.alpha, 4, call + ", alpha"), y = host ? beta : *(float *)heap.resolve((u64)p.beta, 4, call + ", beta");
    const float *a = na ? (const float *)heap.resolve((u64)p.a, na, call + ", A") : nullptr, *b = nb ? (const float *)heap.resolve((u64)p.b, nb, call + ", B") : nullptr;
    float *c = (float *)heap.resolve((u64)p.c, nc, call + ", C");
    if (space) memset(heap.resolve((u64)space, space_bytes, call + ", workspace"), 0xff, std::min<size_t>(space_bytes, 4096)); // the workspace is the library's to overwrite
    for (int k = 0; k < p.count; k++) multiply(p, a + k * p.sa, b + k * p.sb, c + k * p.sc, x, y);
  });
}

// TF32 is used where the caller asked for it: not by default.
bool uses_tf32(const Handle &h) { return h.math == CUBLAS_TF32_TENSOR_OP_MATH || h.math == CUBLAS_TENSOR_OP_MATH; }

}  // namespace

SIM_API cublasStatus_t cublasCreate_v2(cublasHandle_t *out) {
  static Counter &counted = counter("call.cublasCreate_v2");
  return blas_call("cublasCreate", counted, [&] {
    if (!device().initialised || !current()) throw BlasError(CUBLAS_STATUS_NOT_INITIALIZED, "no context is current on this thread");
    if (device().error) throw BlasError(CUBLAS_STATUS_NOT_INITIALIZED, "the device failed before");
    enter("cublasCreate", Current | Uncaptured);
    Handle *h = new Handle;
    h->context = current();
    handles().insert(h);
    born("live.cuBLAS handles");
    *out = (cublasHandle_t)h;
  });
}

SIM_API cublasStatus_t cublasDestroy_v2(cublasHandle_t h) {
  BLAS({
    handles().erase(&get(h));
    died("live.cuBLAS handles");
  })
}

SIM_API cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int *v) { BLAS(*v = CUBLAS_VERSION;) }

SIM_API cublasStatus_t cublasGetProperty(libraryPropertyType t, int *v) {
  BLAS(switch (t) {
    case MAJOR_VERSION: *v = CUBLAS_VER_MAJOR; break;
    case MINOR_VERSION: *v = CUBLAS_VER_MINOR; break;
    case PATCH_LEVEL: *v = CUBLAS_VER_PATCH; break;
    default: invalid("unknown property");
  })
}

SIM_API cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t s) {
  BLAS({
    Handle &handle = running(h);
    stream_of((CUstream)s);
    handle.stream = (CUstream)s;
    handle.workspace = nullptr, handle.workspace_bytes = 0; // documented: the stream's change resets the workspace
  })
}

SIM_API cublasStatus_t cublasGetStream_v2(cublasHandle_t h, cudaStream_t *s) { BLAS(*s = (cudaStream_t)get(h).stream;) }

SIM_API cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t h, void *p, size_t n) {
  BLAS({
    Handle &handle = running(h);
    if (p && (u64)p % 256) invalid("the workspace is not aligned to 256 bytes");
    if (p && n) device().heap.resolve((u64)p, n, "the workspace");
    handle.workspace = n ? p : nullptr, handle.workspace_bytes = n;
  })
}

SIM_API cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t m) { BLAS(get(h).math = m;) }
SIM_API cublasStatus_t cublasGetMathMode(cublasHandle_t h, cublasMath_t *m) { BLAS(*m = get(h).math;) }
SIM_API cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t h, cublasPointerMode_t m) { BLAS(get(h).pointers = m;) }
SIM_API cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t h, cublasPointerMode_t *m) { BLAS(*m = get(h).pointers;) }

SIM_API cublasStatus_t cublasSgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc) {
  BLAS({
    Handle &handle = running(h);
    product(handle, "cublasSgemm", {ta, tb, m, n, k, lda, ldb, ldc, 1, 0, 0, 0, a, b, c, alpha, beta, uses_tf32(handle)});
  })
}

SIM_API cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const float *alpha, const float *a, int lda, long long sa, const float *b, int ldb, long long sb, const float *beta, float *c, int ldc, long long sc, int count) {
  BLAS({
    Handle &handle = running(h);
    product(handle, "cublasSgemmStridedBatched", {ta, tb, m, n, k, lda, ldb, ldc, count, sa, sb, sc, a, b, c, alpha, beta, uses_tf32(handle)});
  })
}

SIM_API cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const void *alpha, const void *a, cudaDataType at, int lda, const void *b, cudaDataType bt, int ldb, const void *beta, void *c, cudaDataType ct, int ldc,
                                    cublasComputeType_t compute, cublasGemmAlgo_t) {
  BLAS({
    Handle &handle = running(h);
    if (at != CUDA_R_32F || bt != CUDA_R_32F || ct != CUDA_R_32F) throw BlasError(CUBLAS_STATUS_NOT_SUPPORTED, "only CUDA_R_32F is implemented");
    bool fast = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC && !fast) throw BlasError(CUBLAS_STATUS_NOT_SUPPORTED, format("compute type %d is not implemented", (int)compute));
    bool tf = fast || (compute == CUBLAS_COMPUTE_32F && uses_tf32(handle));
    product(handle, "cublasGemmEx", {ta, tb, m, n, k, lda, ldb, ldc, 1, 0, 0, 0, (const float *)a, (const float *)b, (float *)c, (const float *)alpha, (const float *)beta, tf});
  })
}

SIM_API const char *cublasGetStatusName(cublasStatus_t s) {
  switch (s) {
#define S(n) case n: return #n;
    S(CUBLAS_STATUS_SUCCESS) S(CUBLAS_STATUS_NOT_INITIALIZED) S(CUBLAS_STATUS_ALLOC_FAILED) S(CUBLAS_STATUS_INVALID_VALUE) S(CUBLAS_STATUS_EXECUTION_FAILED)
    S(CUBLAS_STATUS_INTERNAL_ERROR) S(CUBLAS_STATUS_NOT_SUPPORTED)
#undef S
  default: return "CUBLAS_UNKNOWN_STATUS";
  }
}
SIM_API const char *cublasGetStatusString(cublasStatus_t s) { return cublasGetStatusName(s); }
