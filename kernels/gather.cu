// From the resident set to a batch, and from a batch to a result array, at the place that a cursor in device memory says: a
// captured step needs no word from the host.
#include "ring.cuh"

// How one image is augmented, drawn by the host; one record for each place of the epoch's order.
struct __align__(16) Augment {
  short flip;       // 1: mirrored left to right, before the shift
  short down, right; // shift; zeros come in
  short cut_top, cut_left, cut_side; // the square of zeros, after the shift; it may lie partly outside
  short unused0, unused1;
};

// Where an element of the augmented image comes from: an offset into the image, or −1 for zero.
DEVICE int source(const Augment &a, u32 e, u32 height, u32 width, u32 channels) {
  int c = e % channels, w = e / channels % width, h = e / channels / width;
  if (h >= a.cut_top && h < a.cut_top + a.cut_side && w >= a.cut_left && w < a.cut_left + a.cut_side) return -1;
  h -= a.down, w -= a.right;
  if (h < 0 || h >= (int)height || w < 0 || w >= (int)width) return -1;
  if (a.flip) w = width - 1 - w;
  return (h * (int)width + w) * (int)channels + c;
}

// gather_bytes makes row r of a batch from the sample at place cursor[0]·batch + r of the order. Rows from valid on are zero.
// images: [set, height, width, channels]
// labels: [set] or null
// order: indices into the set; null: the sample of place p is p % ring, as a set lies that is streamed through a ring
// cursor: [0] is the step of this pass; null is step 0
// table: [channels, 256], what each byte becomes: the normalisation
// augment: one record for each place of the order, or null
// x: [rows, height, width, channels]
// targets: [rows], the labels, or null
// launch: images(rows, height*width*channels)
KERNEL gather_bytes(const u8 *images, const u16 *labels, const int *order, const u64 *cursor, const float *table, const Augment *augment, float *x, int *targets,
                    u32 rows, u32 height, u32 width, u32 channels, u32 batch, u32 valid, u32 ring) {
  u32 size = height * width * channels, e = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
  if (e >= size) return;
  u64 place = (cursor ? cursor[0] : 0) * batch + r;
  u64 sample = r < valid ? sample_at(order, place, ring) : 0;
  float v = 0.0f;
  if (r < valid) {
    int from = augment ? source(augment[place], e, height, width, channels) : (int)e;
    v = table[e % channels * 256 + (from < 0 ? 0 : images[sample * size + from])];
  }
  x[(u64)r * size + e] = v;
  if (e == 0 && targets) targets[r] = r < valid && labels ? labels[sample] : 0;
}

// gather_floats is gather_bytes for a set of float32: x = (v − shift)/scale, each for its channel. Zeros that augmentation
// brings in are zeros before that.
// images: [set, height, width, channels]
// shift, scale: [channels]
// launch: images(rows, height*width*channels)
KERNEL gather_floats(const float *images, const u16 *labels, const int *order, const u64 *cursor, const float *shift, const float *scale, const Augment *augment,
                     float *x, int *targets, u32 rows, u32 height, u32 width, u32 channels, u32 batch, u32 valid, u32 ring) {
  u32 size = height * width * channels, e = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
  if (e >= size) return;
  u64 place = (cursor ? cursor[0] : 0) * batch + r;
  u64 sample = r < valid ? sample_at(order, place, ring) : 0;
  float v = 0.0f;
  if (r < valid) {
    int from = augment ? source(augment[place], e, height, width, channels) : (int)e;
    v = ((from < 0 ? 0.0f : images[sample * size + from]) - shift[e % channels]) / scale[e % channels];
  }
  x[(u64)r * size + e] = v;
  if (e == 0 && targets) targets[r] = r < valid && labels ? labels[sample] : 0;
}

// store_rows copies the first valid rows of a batch to their place in the result, a ring that the host reads as it fills.
// rows: [batch, width]
// result: [ring, width]; ring is a multiple of batch
// cursor: [0] is the step of this pass; null is step 0
// launch: elements(valid*width)
KERNEL store_rows(const float *rows, float *result, const u64 *cursor, u32 width, u32 batch, u32 valid, u32 ring) {
  u32 i = thread_index();
  if (i < valid * width) result[sample_at(0, (cursor ? cursor[0] : 0) * batch, ring) * width + i] = rows[i];
}
