// Cross-entropy on logits, and the metrics of a step.
#include "common.cuh"
#include "math.cuh"

// cross_entropy is the loss −Σ t·ln softmax(z) of each row, with its gradient (p − t)·weight/divisor at the logits, in the
// stable fused form: nothing is clipped. t is 1−smoothing at the label, plus smoothing/classes everywhere. One warp a row. Rows
// from valid on get zeros. Of equal logits the first is the prediction.
// logits: [rows, classes]
// targets: [rows], labels below classes
// weights: [classes], a factor of the loss of each class, or null
// gradient: [rows, classes] or null; may be logits' array
// losses: [rows]
// hits: [rows], 1 where the prediction is the label
// divisor: the number of samples of the step
// launch: warps(rows)
KERNEL cross_entropy(const float *logits, const int *targets, const float *weights, float *gradient, float *losses, int *hits, u32 rows,
                     u32 classes, u32 valid, float smoothing, float divisor) {
  u32 row = thread_index() >> 5, lane = threadIdx.x & 31;
  if (row >= rows) return;
  u64 at = (u64)row * classes;
  if (row >= valid) {
    if (gradient)
      for (u32 c = lane; c < classes; c += 32) gradient[at + c] = 0.0f;
    if (lane == 0) losses[row] = 0.0f, hits[row] = 0;
    return;
  }
  const float *z = logits + at;
  float m = -INFINITY;
  for (u32 c = lane; c < classes; c += 32) m = z[c] > m || z[c] != z[c] ? z[c] : m;
  m = warp_max(m);
  float s = 0.0f, sum = 0.0f, share = smoothing / (float)classes;
  u32 best = 0xffffffffu;
  for (u32 c = lane; c < classes; c += 32) {
    float d = z[c] - m;
    s += math_exp(d);
    if (smoothing != 0.0f) sum = fmaf(share, d, sum); // without, a logit far below would make a NaN of 0·∞
    if (d == 0.0f && c < best) best = c;
  }
  s = warp_sum(s), sum = warp_sum(sum);
  for (int o = 16; o; o >>= 1) best = min(best, __shfl_xor_sync(0xffffffffu, best, o));
  u32 label = (u32)targets[row];
  float weight = weights ? weights[label] : 1.0f;
  if (lane == 0) {
    float d = z[label] - m;
    losses[row] = weight * (math_log(s) - fmaf(1.0f - smoothing, d, sum));
    hits[row] = best == label;
  }
  if (!gradient) return;
  __syncwarp(); // the label's logit is read before gradient, which may be the same array, is written
  float scale = weight / divisor;
  for (u32 c = lane; c < classes; c += 32) gradient[at + c] = (math_exp(z[c] - m) / s - (c == label ? 1.0f - smoothing + share : share)) * scale;
}

// What has been summed over a pass, in device memory, and its copy in pinned host memory. In the copy, begin and end are the
// number of steps published; a reader that finds them equal, end read first and begin last, has a consistent copy.
struct Totals {
  double loss;
  u64 correct, count;
};
struct Progress {
  u64 begin;
  Totals totals;
  u64 end;
};

// end_step adds a step's losses and hits to the totals, advances the cursor and publishes the progress. One block, the step's
// last node. Sums are float64, in a fixed order.
// losses, hits: [valid]
// cursor: [0] step of this pass, [1] steps of the training, [2] whether the pass has stopped, which leaves all of this as it is,
// [3] whether the step's weights were no numbers, which makes its loss NaN: cuDNN's fused ReLU makes 0 of NaN and would hide them
// progress: pinned host memory, or null
// stop: 1 stops the pass after a step whose loss is NaN or infinite; steps that are queued already then change nothing
// launch: single()
KERNEL end_step(const float *losses, const int *hits, Totals *totals, u64 *cursor, Progress *progress, u32 valid, u32 stop) {
  double loss = 0.0, correct = 0.0;
  for (u32 i = threadIdx.x; i < valid; i += 256) loss += losses[i], correct += hits[i];
  loss = block_sum(loss);
  correct = block_sum(correct);
  if (threadIdx.x != 0 || cursor[2]) return;
  if (stop && cursor[3]) loss = __longlong_as_double(0x7ff8000000000000ll);
  Totals t = *totals;
  t.loss += loss, t.correct += (u64)correct, t.count += valid;
  *totals = t;
  u64 step = cursor[0] + 1;
  cursor[0] = step, cursor[1]++;
  if (stop && !(loss - loss == 0.0)) cursor[2] = 1;
  if (!progress) return;
  volatile Progress *p = progress;
  p->begin = step;
  __threadfence_system();
  p->totals.loss = t.loss, p->totals.correct = t.correct, p->totals.count = t.count;
  __threadfence_system();
  p->end = step;
}
