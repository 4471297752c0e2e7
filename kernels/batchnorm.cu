// Batch normalisation by moving statistics: in inference, and of frozen layers. By the batch's own statistics it is cuDNN's.
#include "common.cuh"

// normalize: y = (x − mean)·gamma/√(variance + epsilon) + beta, each for its channel. With the gradient for x and neither mean nor
// beta it is its own backward pass. x and y may be the same array.
// x: [rows, channels]
// mean: [channels] or null
// variance: [channels]
// gamma, beta: [channels] or null
// launch: elements(n)
KERNEL normalize(const float *x, const float *mean, const float *variance, const float *gamma, const float *beta, float *y, u32 n, u32 channels, float epsilon) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % channels;
  float v = x[i], scale = (gamma ? gamma[c] : 1.0f) / sqrtf(variance[c] + epsilon);
  if (mean) v -= mean[c];
  v *= scale;
  if (beta) v += beta[c];
  y[i] = v;
}
