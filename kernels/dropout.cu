// Dropout: the same units fall on every device, since each draw depends on the seed, the step, the layer and the element's index.
#include "philox.cuh"

// dropout zeroes each element with probability rate and multiplies the others by scale. The same call with the gradient is its
// own backward pass: the draws are made again. x and y may be the same array. Four elements a thread.
// cursor: [1] is the step
// scale: 1/(1−rate)
// launch: quads(n)
KERNEL dropout(const float *x, float *y, const u64 *cursor, u64 seed, u32 layer, u32 n, float rate, float scale) {
  u32 block = thread_index();
  if ((u64)block * 4 >= n) return;
  Words words = philox(seed, block, (u32)cursor[1], layer, STREAM_DROPOUT);
#pragma unroll
  for (u32 k = 0; k < 4; k++) {
    u32 i = block * 4 + k;
    if (i < n) y[i] = unit(words.w[k]) < rate ? 0.0f : x[i] * scale;
  }
}
