// Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), with cuDNN's meaning of alpha.
#include "common.cuh"
#include "math.cuh"

// s^−beta for s > 0; AlexNet's ¾ and other simple powers by square roots, which are correctly rounded.
DEVICE float inverse_power(float s, float beta) {
  if (beta == 0.75f) {
    float r = sqrtf(s);
    return 1.0f / (r * sqrtf(r));
  }
  if (beta == 0.5f) return 1.0f / sqrtf(s);
  if (beta == 1.0f) return 1.0f / s;
  return math_exp(-beta * math_log(s));
}

// lrn_forward: s = k + alpha/window·Σx² over the window of channels around each, window/2 of them before it; y = x·s^−beta.
// s: [n], for lrn_backward, or null
// share: alpha/window
// launch: elements(n)
KERNEL lrn_forward(const float *x, float *s, float *y, u32 n, u32 channels, u32 window, float share, float beta, float k) {
  u32 i = thread_index();
  if (i >= n) return;
  int c = i % channels, first = max(c - (int)(window / 2), 0), end = min(c - (int)(window / 2) + (int)window, (int)channels);
  float sum = 0.0f;
  for (int j = first; j < end; j++) {
    float v = x[i - c + j];
    sum = fmaf(v, v, sum);
  }
  float t = fmaf(share, sum, k);
  if (s) s[i] = t;
  y[i] = x[i] * inverse_power(t, beta);
}

// lrn_backward: dx = dy·s^−beta − 2·share·beta·x·Σ dy·y/s over the windows that hold the channel.
// launch: elements(n)
KERNEL lrn_backward(const float *dy, const float *x, const float *y, const float *s, float *dx, u32 n, u32 channels, u32 window, float share, float beta) {
  u32 i = thread_index();
  if (i >= n) return;
  int c = i % channels, first = max(c + (int)(window / 2) - (int)window + 1, 0), end = min(c + (int)(window / 2) + 1, (int)channels);
  float sum = 0.0f;
  for (int j = first; j < end; j++) {
    u32 q = i - c + j;
    sum += dy[q] * y[q] / s[q];
  }
  dx[i] = fmaf(-2.0f * share * beta * x[i], sum, dy[i] * inverse_power(s[i], beta));
}
