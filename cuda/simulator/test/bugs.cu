// Kernels with a bug each, that the interpreter must find, and a few without.
extern "C" __global__ void twice(float *x, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] *= 2.0f; }
extern "C" __global__ void set(float *x, float v) { *x = v; }
extern "C" __global__ void no_guard(float *x, int n) { x[blockIdx.x * blockDim.x + threadIdx.x] = (float)n; }
extern "C" __global__ void off_by_one(float *x, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i <= n) x[i] = 1.0f; }
extern "C" __global__ void wrap(float *x, int n) { unsigned i = (blockIdx.x * blockDim.x + threadIdx.x) * 0x10000000u; x[(long long)(int)(i + n)] = 1.0f; }
extern "C" __global__ void misaligned(float *x, int n) { if (threadIdx.x == 0) *(float4 *)(x + n) = make_float4(1, 2, 3, 4); }
extern "C" __global__ void missing_barrier(float *x, int n) {
  __shared__ float s[256];
  s[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = s[(threadIdx.x + 32) % n];
}
extern "C" __global__ void barrier_in_branch(float *x, int n) {
  __shared__ float s[256];
  s[threadIdx.x] = x[threadIdx.x];
  if ((int)threadIdx.x < n) { __syncthreads(); x[threadIdx.x] = s[0]; }
}
extern "C" __global__ void barrier_after_exit(float *x, int n) {
  if ((int)(threadIdx.x / 32) >= n) return;
  __syncthreads();
  x[threadIdx.x] = 1.0f;
}
extern "C" __global__ void uninitialised(float *x, int n) {
  __shared__ float s[256];
  if ((int)threadIdx.x < n) s[threadIdx.x] = 1.0f;
  __syncthreads();
  x[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void shared_overrun(float *x, int n) {
  __shared__ float s[64];
  s[threadIdx.x + n] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void shuffle_absent(float *x, int n) {
  if ((int)threadIdx.x < n) x[threadIdx.x] = __shfl_sync((1u << n) - 1, x[threadIdx.x], (threadIdx.x + 1) % 32);
}
extern "C" __global__ void block_race(float *x, int n) { if (threadIdx.x == 0) x[0] = (float)(blockIdx.x + n); }
extern "C" __global__ void lost_count(float *x, int n) { if (threadIdx.x == 0) x[0] += (float)n; }
extern "C" __global__ void atomic_count(float *x, int n) { atomicAdd(x, (float)n); }
extern "C" __global__ void local_array(float *x, int n) {
  float a[8];
  for (int i = 0; i < 8; i++) a[i] = x[threadIdx.x] + i;
  x[threadIdx.x] = a[(threadIdx.x + n) % 8];
}
__constant__ float table[4] = {1, 2, 3, 4};
__device__ int counter = 5;
extern "C" __global__ void variables(float *x, int n) { if (threadIdx.x == 0) { x[0] = table[n] + counter; counter = 7; } }
extern "C" __global__ void dynamic(float *x, int n) {
  extern __shared__ float d[];
  d[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = d[n - 1 - threadIdx.x];
}
extern "C" __global__ void second_write(float *x, int n) {
  __shared__ float s[256];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = s[(threadIdx.x + 32) % n];
  s[threadIdx.x] = 0.0f; // another warp may not have read it yet
}
