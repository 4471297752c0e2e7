// The optimisers, with Keras' formulas (keras.optimizers), on all trainable parameters at once: they lie one after another in
// one array, and so do gradients and slots. What depends on the step comes from arrays that the host uploads once an epoch,
// indexed by cursor[0]. Once a step's loss was no number (cursor[2]; see end_step) later steps change nothing. A weight that the
// step began with and that is NaN or infinite is reported in cursor[3].
#include "common.cuh"

// The gradient after clipping and the weight after decoupled decay, w −= decay·w, which comes before the step.
DEVICE float clipped(const float *g, const float *clip, u32 i) { return clip ? g[i] * *clip : g[i]; }
DEVICE float decayed(const float *w, const float *decays, u64 step, u32 i) { return decays ? w[i] - w[i] * decays[step] : w[i]; }

// Notes in the cursor that the weight w is NaN or infinite.
DEVICE void watch(float w, u64 *cursor) {
  if (!(w - w == 0.0f)) atomicExch((u32 *)(cursor + 3), 1u);
}

// sgd: w −= rate·g; with momentum: v = momentum·v − rate·g and w += v; Nesterov: w += momentum·v − rate·g.
// velocity: [n], or null without momentum
// rates: the learning rate of each step
// decays: rate·weight_decay of each step, or null
// clip: the factor that clip_factor made, or null
// launch: elements(n)
KERNEL sgd(float *w, const float *g, float *velocity, const float *rates, const float *decays, u64 *cursor, const float *clip, u32 n, float momentum, int nesterov) {
  u32 i = thread_index();
  if (i >= n || cursor[2]) return;
  watch(w[i], cursor);
  u64 step = cursor[0];
  float x = decayed(w, decays, step, i), d = rates[step] * clipped(g, clip, i);
  if (velocity) {
    float v = momentum * velocity[i] - d;
    velocity[i] = v;
    x += nesterov ? momentum * v - d : v;
  } else {
    x -= d;
  }
  w[i] = x;
}

// adam: m += (g−m)·(1−β₁); v += (g²−v)·(1−β₂); w −= α·m/(√v+ε). With decays it is AdamW.
// rates: α of each step, which is rate·√(1−β₂ᵗ)/(1−β₁ᵗ)
// rest1, rest2: 1−β₁ and 1−β₂
// decays, clip: as in sgd
// launch: elements(n)
KERNEL adam(float *w, const float *g, float *momentum, float *velocity, const float *rates, const float *decays, u64 *cursor, const float *clip, u32 n, float rest1,
            float rest2, float epsilon) {
  u32 i = thread_index();
  if (i >= n || cursor[2]) return;
  watch(w[i], cursor);
  u64 step = cursor[0];
  float d = clipped(g, clip, i), m = momentum[i], v = velocity[i];
  m += (d - m) * rest1;
  v += (d * d - v) * rest2;
  momentum[i] = m, velocity[i] = v;
  w[i] = decayed(w, decays, step, i) - m * rates[step] / (sqrtf(v) + epsilon);
}

// rmsprop: v = ρ·v + (1−ρ)·g²; d = rate·g/√(v+ε); w −= d; with momentum: b = momentum·b + d and w −= b.
// momentum: [n], b, or null
// rest: 1−ρ
// rates, decays, clip: as in sgd
// launch: elements(n)
KERNEL rmsprop(float *w, const float *g, float *velocity, float *momentum, const float *rates, const float *decays, u64 *cursor, const float *clip, u32 n, float rho,
               float rest, float mu, float epsilon) {
  u32 i = thread_index();
  if (i >= n || cursor[2]) return;
  watch(w[i], cursor);
  u64 step = cursor[0];
  float d = clipped(g, clip, i), v = rho * velocity[i] + rest * (d * d);
  velocity[i] = v;
  d = rates[step] * d / sqrtf(v + epsilon);
  if (momentum) {
    d += mu * momentum[i];
    momentum[i] = d;
  }
  w[i] = decayed(w, decays, step, i) - d;
}

// clip_factor is what brings the gradients' global norm to at most limit: limit/max(norm, limit). Each block sums the squares
// of its share in float64, the last one adds the blocks up.
// partials: [blocks], scratch
// ticket: a zero; see last_block
// factor: [1]
// launch: reduction(n)
KERNEL clip_factor(const float *g, double *partials, u32 *ticket, float *factor, u32 n, float limit) {
  double s = 0.0;
  for (u64 i = thread_index(); i < n; i += (u64)gridDim.x * blockDim.x) s += (double)g[i] * g[i];
  s = block_sum(s);
  if (threadIdx.x == 0) partials[blockIdx.x] = s;
  if (!last_block(ticket, gridDim.x)) return;
  s = 0.0;
  for (u32 b = threadIdx.x; b < gridDim.x; b += blockDim.x) s += load_partial(&partials[b]);
  s = block_sum(s);
  if (threadIdx.x == 0) {
    float norm = (float)sqrt(s);
    *factor = limit / (norm > limit || norm != norm ? norm : limit);
  }
}

// ema: average = average·momentum + w·rest after every so many steps, counted over the whole training (cursor[1]).
// rest: 1−momentum
// launch: elements(n)
KERNEL ema(float *average, const float *w, const u64 *cursor, u32 n, u32 every, float momentum, float rest) {
  u32 i = thread_index();
  if (i < n && !cursor[2] && (cursor[1] + 1) % every == 0) average[i] = average[i] * momentum + w[i] * rest;
}

// moving_average: average = average·keep + x·rest, for batch normalisation's moving statistics.
// cursor: [2] stops it, as in the optimisers
// factor: x is multiplied by it first: (n−1)/n turns cuDNN's unbiased variance into Keras' biased one, 1 otherwise
// launch: elements(n)
KERNEL moving_average(float *average, const float *x, const u64 *cursor, u32 n, float keep, float rest, float factor) {
  u32 i = thread_index();
  if (i < n && !cursor[2]) average[i] = average[i] * keep + x[i] * factor * rest;
}
