// Tries every float32 argument of every function of kernels/math.cuh against float64 and fails above the stated error.
// math_test [STRIDE]: with a stride, every STRIDE-th argument; the exhaustive run takes some minutes.
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
#include "../../../kernels/math.cuh"

struct Function {
  const char *name;
  float (*f)(float);
  double (*exact)(double);
  float lo, hi;
  double bound; // ulp
};

static const Function functions[] = {
    {"math_exp", math_exp, std::exp, -110, 90, 1.0},
    {"math_expm1", math_expm1, std::expm1, -110, 88, 1.5},
    {"math_log", math_log, std::log, 0, INFINITY, 0.9},
    {"math_log1p", math_log1p, std::log1p, 0, 1, 1.4},
    {"math_tanh", math_tanh, std::tanh, -12, 12, 1.5},
    {"math_sigmoid", math_sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -110, 110, 2.5},
    {"math_softplus", math_softplus, [](double x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))); }, -110, 110, 1.7},
    {"math_erf", math_erf, std::erf, -6, 6, 1.2},
};

// The error of y in units in the last place of the float32 nearest to exact.
static double ulps(float y, double exact) {
  if (std::isnan(y) || std::isnan(exact)) return std::isnan(y) && std::isnan(exact) ? 0 : INFINITY;
  float nearest = (float)exact;
  if (std::isinf(nearest)) return y == nearest ? 0 : INFINITY;
  int e;
  std::frexp(nearest, &e);
  double ulp = std::ldexp(1.0, (nearest == 0 || e < -125 ? -125 : e) - 24);
  return std::fabs((double)y - exact) / ulp;
}

struct Worst { double error = 0; float at = 0; };

static Worst scan(const Function &fn, unsigned first, unsigned step) {
  Worst w;
  for (unsigned long long u = first; u <= 0xffffffffull; u += step) {
    float x = bits_float((unsigned)u);
    if (!(x >= fn.lo && x <= fn.hi)) continue;
    double e = ulps(fn.f(x), fn.exact(x));
    if (e > w.error) w = {e, x};
  }
  return w;
}

int main(int argc, char **argv) {
  unsigned stride = argc > 1 ? (unsigned)atoi(argv[1]) : 1, threads = std::max(1u, std::thread::hardware_concurrency());
  int failed = 0;
  for (const Function &fn : functions) {
    std::vector<Worst> part(threads);
    std::vector<std::thread> pool;
    for (unsigned t = 0; t < threads; t++) pool.emplace_back([&, t] { part[t] = scan(fn, t * stride, threads * stride); });
    for (auto &t : pool) t.join();
    Worst w;
    for (auto &p : part) if (p.error > w.error) w = p;
    bool ok = w.error <= fn.bound;
    failed += !ok;
    printf("%-14s %.4f ulp at %.9g (bound %.1f) %s\n", fn.name, w.error, w.at, fn.bound, ok ? "ok" : "FAIL");
  }
  const float nan = NAN;
  for (const Function &fn : functions) if (!std::isnan(fn.f(nan))) { printf("%s(NaN) is not NaN\n", fn.name); failed++; }
  if (math_exp(100) != INFINITY || math_exp(-INFINITY) != 0 || math_log(0) != -INFINITY || math_log(INFINITY) != INFINITY || !std::isnan(math_log(-1)) || math_tanh(INFINITY) != 1 ||
      math_sigmoid(-INFINITY) != 0 || math_erf(-INFINITY) != -1 || math_softplus(INFINITY) != INFINITY) { printf("a limit is wrong\n"); failed++; }
  return failed != 0;
}
