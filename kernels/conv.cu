// The unfolding of a convolution into a matrix product, for what cuDNN refuses: uneven padding, dilation in NHWC, and anything
// else that has no deterministic algorithm. With columns = unfold(x), the forward pass is columns·Wᵀ, the filters' gradient is
// dyᵀ·columns, and the input's is fold(dy·W), where W is [filters, window_h·window_w·count].
#include "common.cuh"

// unfold lays out what each output place sees: columns[(image, oh, ow), (kh, kw, c)], zero where the window leaves the image.
// x: [images, height, width, channels], of which channels first to first+count are read: a group's
// columns: [n], n = images·out_h·out_w·window_h·window_w·count
// top, left: padding before
// launch: elements(n)
KERNEL unfold(const float *x, float *columns, u32 n, u32 height, u32 width, u32 channels, u32 first, u32 count, u32 out_h, u32 out_w, u32 window_h, u32 window_w, u32 stride_h,
              u32 stride_w, u32 dilation_h, u32 dilation_w, u32 top, u32 left) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % count, kw = i / count % window_w, kh = i / count / window_w % window_h, place = i / count / window_w / window_h;
  u32 ow = place % out_w, oh = place / out_w % out_h, image = place / out_w / out_h;
  u32 h = oh * stride_h + kh * dilation_h - top, w = ow * stride_w + kw * dilation_w - left;
  columns[i] = h < height && w < width ? x[(((u64)image * height + h) * width + w) * channels + first + c] : 0.0f; // before the image wraps to a huge number
}

// fold is unfold's backward pass: each element of the image sums the columns that saw it, in row-major order of the window.
// dx: [images, height, width, channels], of which channels first to first+count are written
// n: images·height·width·count
// launch: elements(n)
KERNEL fold(const float *columns, float *dx, u32 n, u32 height, u32 width, u32 channels, u32 first, u32 count, u32 out_h, u32 out_w, u32 window_h, u32 window_w, u32 stride_h,
            u32 stride_w, u32 dilation_h, u32 dilation_w, u32 top, u32 left) {
  u32 i = thread_index();
  if (i >= n) return;
  u32 c = i % count, w = i / count % width, h = i / count / width % height, image = i / count / width / height;
  float sum = 0.0f;
  for (u32 kh = 0; kh < window_h; kh++)
    for (u32 kw = 0; kw < window_w; kw++) {
      int y = (int)(h + top) - (int)(kh * dilation_h), x = (int)(w + left) - (int)(kw * dilation_w);
      if (y < 0 || x < 0 || y % (int)stride_h || x % (int)stride_w) continue;
      u32 oh = y / stride_h, ow = x / stride_w;
      if (oh >= out_h || ow >= out_w) continue;
      sum += columns[(((((u64)image * out_h + oh) * out_w + ow) * window_h + kh) * window_w + kw) * count + c];
    }
  dx[(((u64)image * height + h) * width + w) * channels + first + c] = sum;
}
