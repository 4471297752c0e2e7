// Bias and activation, forward and backward, with the gradient of the bias.
#include "activation.cuh"
#include "common.cuh"

// activation_forward adds a bias and applies an activation function: y = f(x + bias). x and y may be the same array.
// x: [rows, channels]
// bias: [channels] or null
// z: x + bias is stored here too, for a function whose derivative needs it; [rows, channels] or null
// y: [rows, channels]
// launch: elements(n)
KERNEL activation_forward(const float *x, const float *bias, float *z, float *y, u32 n, u32 channels, int function, float alpha) {
  u32 i = thread_index();
  if (i >= n) return;
  float v = x[i];
  if (bias) v += bias[i % channels];
  if (z) z[i] = v;
  y[i] = activate(function, alpha, v);
}

// activation_backward multiplies by the derivative: dz = dy·f′(z). dy and dz may be the same array.
// y: f(z)
// z: what f was applied to; null for every function but gelu and silu
// launch: elements(n)
KERNEL activation_backward(const float *dy, const float *y, const float *z, float *dz, u32 n, int function, float alpha) {
  u32 i = thread_index();
  if (i < n) dz[i] = dy[i] * derivative(function, alpha, z ? z[i] : 0.0f, y[i]);
}

// The sum over the rows of the block, in the threads of row 0: a tree over threadIdx.y.
DEVICE float column_sum(float v, float *sums) {
  u32 t = threadIdx.y * blockDim.x + threadIdx.x;
  sums[t] = v;
  __syncthreads();
  for (u32 o = blockDim.y >> 1; o; o >>= 1) {
    if (threadIdx.y < o) sums[t] += sums[t + o * blockDim.x];
    __syncthreads();
  }
  v = sums[threadIdx.x];
  __syncthreads();
  return v;
}

// bias_activation_backward is activation_backward with the gradient of the bias in the same pass: dz = dy·f′(z), and dbias is
// the sum of dz over the rows. Each block sums a chunk of the rows, the last one of each group of columns adds the chunks up.
// y, z: as in activation_backward; both may be null for linear
// dz: [rows, channels], null where nobody needs it
// partials: [chunks, channels], scratch
// dbias: [channels]
// tickets: [column groups], zeros; see last_block
// chunk: rows of a chunk
// launch: columns(rows, channels, chunk)
KERNEL bias_activation_backward(const float *dy, const float *y, const float *z, float *dz, float *partials, float *dbias, u32 *tickets, u32 rows, u32 channels,
                                u32 chunk, int function, float alpha) {
  __shared__ float sums[256];
  u32 c = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * chunk, end = min(first + chunk, rows);
  float sum = 0.0f;
  if (c < channels)
    for (u32 r = first + threadIdx.y; r < end; r += blockDim.y) {
      u64 i = (u64)r * channels + c;
      float v = dy[i];
      if (function != LINEAR) v *= derivative(function, alpha, z ? z[i] : 0.0f, y[i]);
      if (dz) dz[i] = v;
      sum += v;
    }
  sum = column_sum(sum, sums);
  if (threadIdx.y == 0 && c < channels) partials[blockIdx.y * channels + c] = sum;
  if (!last_block(&tickets[blockIdx.x], gridDim.y)) return;
  sum = 0.0f;
  if (c < channels)
    for (u32 k = threadIdx.y; k < gridDim.y; k += blockDim.y) sum += load_partial(&partials[k * channels + c]);
  sum = column_sum(sum, sums);
  if (threadIdx.y == 0 && c < channels) dbias[c] = sum;
}
