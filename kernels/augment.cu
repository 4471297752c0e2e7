// Augmentation that changes values or turns images: contrast, brightness, flip, rotation, shift, cutout, in this order, as
// device.Change defines them. What only moves whole pixels is done by gather_bytes and gather_floats.
#include "ring.cuh"

// How one image is changed, drawn by the host; one record for each place of the epoch's order. Brightness is in units of the
// full range, sin and cos are those of the angle.
struct __align__(16) Change {
  float contrast, brightness, sin, cos;
  short flip, down, right, cut_top, cut_left, cut_side, unused0, unused1;
};

// A value of the set in units of the full range: bytes are divided by 255.
DEVICE float value(const u8 *bytes, const float *reals, u64 i) { return bytes ? (float)bytes[i] / 255.0f : reals[i]; }

// channel_means makes the mean of each channel of each image of a batch, summed in float64.
// bytes, reals: [set, places, channels], one of them null
// order, ring: as in gather_bytes
// cursor: [0] is the step of this pass; null is step 0
// means: [rows, channels]
// launch: cells(channels, rows)
KERNEL channel_means(const u8 *bytes, const float *reals, const int *order, const u64 *cursor, float *means, u32 rows, u32 places, u32 channels, u32 batch, u32 ring) {
  u32 c = blockIdx.x, r = blockIdx.y;
  u64 place = (cursor ? cursor[0] : 0) * batch + r, sample = sample_at(order, place, ring);
  double sum = 0.0;
  for (u32 p = threadIdx.x; p < places; p += 256) sum += value(bytes, reals, (sample * places + p) * channels + c);
  sum = block_sum(sum);
  if (threadIdx.x == 0) means[r * channels + c] = (float)(sum / (double)places);
}

// One image with its change of values: contrast about the channel's mean, then brightness; bytes stay in [0, 1].
struct Toned {
  const u8 *bytes;
  const float *reals;
  u64 base;
  u32 width, channels, c;
  float contrast, brightness, mean;
};

DEVICE float toned(const Toned &t, u32 row, u32 col) {
  float v = value(t.bytes, t.reals, t.base + (row * t.width + col) * t.channels + t.c);
  if (t.contrast == 1.0f && t.brightness == 0.0f) return v;
  v = t.mean + t.contrast * (v - t.mean) + t.brightness;
  if (t.bytes) v = fminf(fmaxf(v, 0.0f), 1.0f);
  return v;
}

// gather_changed makes row r of a batch from the changed sample at place cursor[0]·batch + r of the order; x = (v − shift)/scale,
// each for its channel.
// bytes, reals: [set, height, width, channels], one of them null
// labels: [set]
// order, ring: as in gather_bytes
// cursor: [0] is the step of this pass; null is step 0
// shift, scale: [channels]
// means: [rows, channels], by channel_means
// changes: one record for each place of the order
// x: [rows, height, width, channels]
// targets: [rows], the labels
// launch: images(rows, height*width*channels)
KERNEL gather_changed(const u8 *bytes, const float *reals, const u16 *labels, const int *order, const u64 *cursor, const float *shift, const float *scale,
                      const float *means, const Change *changes, float *x, int *targets, u32 rows, u32 height, u32 width, u32 channels, u32 batch, u32 ring) {
  u32 size = height * width * channels, e = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
  if (e >= size) return;
  u64 place = (cursor ? cursor[0] : 0) * batch + r, sample = sample_at(order, place, ring);
  const Change &a = changes[place];
  u32 c = e % channels;
  int col = e / channels % width, row = e / channels / width;
  Toned t = {bytes, reals, sample * size, width, channels, c, a.contrast, a.brightness, means[r * channels + c]};
  float v = 0.0f;
  // unsigned: a place before the square wraps to a huge number
  bool cut = ((u32)(row - a.cut_top) < (u32)a.cut_side) & ((u32)(col - a.cut_left) < (u32)a.cut_side);
  if (!cut && a.sin == 0.0f && a.cos == 1.0f) {
    int h = row - a.down, w = col - a.right;
    if (h >= 0 && h < (int)height && w >= 0 && w < (int)width) v = toned(t, h, a.flip ? width - 1 - w : w);
  } else if (!cut) {
    float middle_row = (float)((int)height - 1) / 2.0f, middle_col = (float)((int)width - 1) / 2.0f;
    float dr = (float)(row - a.down) - middle_row, dq = (float)(col - a.right) - middle_col;
    float from_row = middle_row + a.cos * dr + a.sin * dq, from_col = middle_col - a.sin * dr + a.cos * dq;
    float r0 = floorf(from_row), q0 = floorf(from_col), fr = from_row - r0, fq = from_col - q0;
    float weights[4] = {(1.0f - fr) * (1.0f - fq), (1.0f - fr) * fq, fr * (1.0f - fq), fr * fq};
#pragma unroll
    for (int k = 0; k < 4; k++) {
      int h = (int)r0 + k / 2, w = (int)q0 + k % 2;
      if (h < 0 || h >= (int)height || w < 0 || w >= (int)width) continue;
      v += weights[k] * toned(t, h, a.flip ? width - 1 - w : w);
    }
  }
  x[(u64)r * size + e] = (v - shift[c]) / scale[c];
  if (e == 0) targets[r] = labels[sample];
}
