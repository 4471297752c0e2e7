// Copies that change an array's shape: padding and the channels of a concatenation; and sums of branches.
#include "common.cuh"

// pad surrounds each image with zeros.
// x: [batch, height, width, channels]
// y: [n] as [batch, out_h, out_w, channels]
// top, left: the margins before; out_h and out_w give those behind
// launch: elements(n)
KERNEL pad(const float *x, float *y, u32 n, u32 height, u32 width, u32 channels, u32 out_h, u32 out_w, u32 top, u32 left) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % channels, w = i / channels % out_w - left, h = i / channels / out_w % out_h - top, image = i / channels / out_w / out_h;
  y[i] = h < height && w < width ? x[(((u64)image * height + h) * width + w) * channels + c] : 0.0f; // a margin before wraps to a huge number
}

// crop is pad's backward pass: it takes the inner part out.
// dy: [batch, out_h, out_w, channels]
// dx: [n] as [batch, height, width, channels]
// launch: elements(n)
KERNEL crop(const float *dy, float *dx, u32 n, u32 height, u32 width, u32 channels, u32 out_h, u32 out_w, u32 top, u32 left) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % channels, w = i / channels % width + left, h = i / channels / width % height + top, image = i / channels / width / height;
  dx[i] = dy[(((u64)image * out_h + h) * out_w + w) * channels + c];
}

// copy_channels copies count channels of each row from one array to another: concatenation and its backward pass.
// x: [rows, from_channels], read from channel from on
// y: [rows, to_channels], written from channel to on
// launch: elements(rows*count)
KERNEL copy_channels(const float *x, float *y, u32 rows, u32 count, u32 from_channels, u32 from, u32 to_channels, u32 to) {
  u32 i = thread_index();
  if (i >= rows * count) return;
  u64 r = i / count, c = i % count;
  y[r * to_channels + to + c] = x[r * from_channels + from + c];
}

// add: y = a + b. y may be a's or b's array.
// launch: elements(n)
KERNEL add(const float *a, const float *b, float *y, u32 n) {
  u32 i = thread_index();
  if (i < n) y[i] = a[i] + b[i];
}
