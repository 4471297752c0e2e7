// Pooling with any window, stride and padding, uneven 'same' padding included. A window of the whole map is global pooling.
// cuDNN does not say which of equal maxima takes the gradient; here it is the first in row-major order.
#include "common.cuh"

// The part of a window that lies inside the input: [first, end), from the window's place o.
struct Range { int first, end; };
DEVICE Range inside(u32 o, u32 stride, u32 window, u32 before, u32 size) {
  int first = (int)(o * stride) - (int)before;
  Range r = {max(first, 0), min(first + (int)window, (int)size)};
  return r;
}

// The windows that hold the input's place i: [first, end).
DEVICE Range windows(u32 i, u32 stride, u32 window, u32 before, u32 count) {
  int at = (int)(i + before), first = at - (int)window + 1;
  Range r = {first <= 0 ? 0 : (first + (int)stride - 1) / (int)stride, min(at / (int)stride + 1, (int)count)};
  return r;
}

// max_pool_forward takes the maximum of each window.
// x: [n/(out_h·out_w·channels), height, width, channels]
// y: [n] as [batch, out_h, out_w, channels]
// winners: [n], where the maximum lies, row·width + column, for max_pool_backward; or null
// top, left: padding, which never wins
// launch: elements(n)
KERNEL max_pool_forward(const float *x, float *y, int *winners, u32 n, u32 height, u32 width, u32 channels, u32 out_h, u32 out_w, u32 window_h, u32 window_w,
                        u32 stride_h, u32 stride_w, u32 top, u32 left) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % channels, ow = i / channels % out_w, oh = i / channels / out_w % out_h, image = i / channels / out_w / out_h;
  Range v = inside(oh, stride_h, window_h, top, height), h = inside(ow, stride_w, window_w, left, width);
  const float *p = x + (u64)image * height * width * channels + c;
  float best = -INFINITY;
  int winner = v.first * (int)width + h.first;
  for (int r = v.first; r < v.end; r++)
    for (int q = h.first; q < h.end; q++) {
      int at = r * (int)width + q;
      float a = p[(u64)at * channels];
      if (a > best || a != a) best = a, winner = at;
    }
  y[i] = best;
  if (winners) winners[i] = winner;
}

// max_pool_backward sums, for each input element, the gradients of the windows that it won, in row-major order.
// dy: [batch, out_h, out_w, channels]
// dx: [n] as [batch, height, width, channels]
// launch: elements(n)
KERNEL max_pool_backward(const float *dy, const int *winners, float *dx, u32 n, u32 height, u32 width, u32 channels, u32 out_h, u32 out_w, u32 window_h, u32 window_w,
                         u32 stride_h, u32 stride_w, u32 top, u32 left) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % channels, w = i / channels % width, h = i / channels / width % height, image = i / channels / width / height;
  Range v = windows(h, stride_h, window_h, top, out_h), q = windows(w, stride_w, window_w, left, out_w);
  int at = h * width + w;
  float sum = 0.0f;
  for (int oh = v.first; oh < v.end; oh++)
    for (int ow = q.first; ow < q.end; ow++) {
      u64 o = (((u64)image * out_h + oh) * out_w + ow) * channels + c;
      if (winners[o] == at) sum += dy[o];
    }
  dx[i] = sum;
}

// average_pool_forward takes the mean of each window; padding does not count.
// x, y and sizes: as in max_pool_forward
// launch: elements(n)
KERNEL average_pool_forward(const float *x, float *y, u32 n, u32 height, u32 width, u32 channels, u32 out_h, u32 out_w, u32 window_h, u32 window_w, u32 stride_h,
                            u32 stride_w, u32 top, u32 left) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % channels, ow = i / channels % out_w, oh = i / channels / out_w % out_h, image = i / channels / out_w / out_h;
  Range v = inside(oh, stride_h, window_h, top, height), h = inside(ow, stride_w, window_w, left, width);
  const float *p = x + (u64)image * height * width * channels + c;
  float sum = 0.0f;
  for (int r = v.first; r < v.end; r++)
    for (int q = h.first; q < h.end; q++) sum += p[(u64)(r * (int)width + q) * channels];
  y[i] = sum / (float)((v.end - v.first) * (h.end - h.first));
}

// average_pool_backward sums, for each input element, its windows' gradients, each divided by its window's count.
// dy, dx and sizes: as in max_pool_backward
// launch: elements(n)
KERNEL average_pool_backward(const float *dy, float *dx, u32 n, u32 height, u32 width, u32 channels, u32 out_h, u32 out_w, u32 window_h, u32 window_w, u32 stride_h,
                             u32 stride_w, u32 top, u32 left) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % channels, w = i / channels % width, h = i / channels / width % height, image = i / channels / width / height;
  Range v = windows(h, stride_h, window_h, top, out_h), q = windows(w, stride_w, window_w, left, out_w);
  float sum = 0.0f;
  for (int oh = v.first; oh < v.end; oh++) {
    Range rows = inside(oh, stride_h, window_h, top, height);
    for (int ow = q.first; ow < q.end; ow++) {
      Range columns = inside(ow, stride_w, window_w, left, width);
      u64 o = (((u64)image * out_h + oh) * out_w + ow) * channels + c;
      sum += dy[o] / (float)((rows.end - rows.first) * (columns.end - columns.first));
    }
  }
  dx[i] = sum;
}
