// The operations on registers: what each opcode computes for a lane. Floating-point operations round as PTX says (the compiler
// must not contract: -ffp-contract=off); the .approx ones do not give a GPU's exact bits and the shipped kernels have none.
#include <cfenv>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <unordered_map>

#include "warp.h"

namespace sim {

static std::unordered_map<std::string, Operation> table;

static void define(const std::string &names, Execute run, const std::string &operands) {
  std::istringstream s(names);
  for (std::string n; s >> n;) table[n] = {run, operands};
}

template <class T>
constexpr char width() { return sizeof(T) == 8 ? '8' : '4'; }

// Runs f on all lanes and keeps the results of mask; a full mask lets the compiler use vectors.
template <class D, class F>
static inline void assign(D *d, u32 mask, F f) {
  if (mask == ~0u) {
    D t[32];
    LANES t[l] = f(l);
    memcpy(d, t, sizeof t);
  } else {
    LANES if (mask >> l & 1) d[l] = f(l);
  }
}

template <class D, class A, class F>
static void unary(const char *names, F) {
  define(names, [](Warp &w, const Instruction &i, u32 m) {
    const A *a = lanes<A>(w, i.a);
    assign(lanes<D>(w, i.d), m, [&](int l) { return (D)F{}(a[l]); });
  }, {width<D>(), width<A>()});
}

template <class D, class A, class B, class F>
static void binary(const char *names, F) {
  define(names, [](Warp &w, const Instruction &i, u32 m) {
    const A *a = lanes<A>(w, i.a);
    const B *b = lanes<B>(w, i.b);
    assign(lanes<D>(w, i.d), m, [&](int l) { return (D)F{}(a[l], b[l]); });
  }, {width<D>(), width<A>(), width<B>()});
}

template <class D, class A, class B, class C, class F>
static void ternary(const char *names, F) {
  define(names, [](Warp &w, const Instruction &i, u32 m) {
    const A *a = lanes<A>(w, i.a);
    const B *b = lanes<B>(w, i.b);
    const C *c = lanes<C>(w, i.c);
    assign(lanes<D>(w, i.d), m, [&](int l) { return (D)F{}(a[l], b[l], c[l]); });
  }, {width<D>(), width<A>(), width<B>(), width<C>()});
}

static inline void set_predicate(Warp &w, u32 p, u32 value, u32 mask) { w.predicates[p] = (w.predicates[p] & ~mask) | (value & mask); }

template <class T, class F>
static void compare(const std::string &names, F) {
  define(names, [](Warp &w, const Instruction &i, u32 m) {
    const T *a = lanes<T>(w, i.a), *b = lanes<T>(w, i.b);
    u32 r = 0;
    LANES r |= (u32)F{}(a[l], b[l]) << l;
    set_predicate(w, i.d, r, m);
  }, {'p', width<T>(), width<T>()});
}

template <class F>
static void logic(const char *names, F) {
  define(names, [](Warp &w, const Instruction &i, u32 m) { set_predicate(w, i.d, F{}(w.predicates[i.a], w.predicates[i.b]), m); }, "ppp");
}

template <class T>
static void select(const char *names) {
  define(names, [](Warp &w, const Instruction &i, u32 m) {
    const T *a = lanes<T>(w, i.a), *b = lanes<T>(w, i.b);
    u32 p = w.predicates[i.c];
    assign(lanes<T>(w, i.d), m, [&](int l) { return p >> l & 1 ? a[l] : b[l]; });
  }, {width<T>(), width<T>(), width<T>(), 'p'});
}

// Conversion of a float to an integer: rounded values saturate, NaN is 0.
template <class T>
static T saturate(double x) {
  if (x != x) return 0;
  if (x <= (double)std::numeric_limits<T>::min()) return std::numeric_limits<T>::min();
  if (x >= (double)std::numeric_limits<T>::max()) return std::numeric_limits<T>::max();
  return (T)x;
}

template <class T>
static T smaller(T a, T b) { return a != a ? b : b != b ? a : a < b || (a == b && std::signbit(a)) ? a : b; }
template <class T>
static T larger(T a, T b) { return a != a ? b : b != b ? a : a > b || (a == b && !std::signbit(a)) ? a : b; }

#define UNARY(names, D, A, ...) unary<D, A>(names, [](A a) -> D { return (D)(__VA_ARGS__); })
#define BINARY(names, D, A, B, ...) binary<D, A, B>(names, [](A a, B b) -> D { return (D)(__VA_ARGS__); })
#define TERNARY(names, D, A, B, C, ...) ternary<D, A, B, C>(names, [](A a, B b, C c) -> D { return (D)(__VA_ARGS__); })

static void define_integers() {
  UNARY("mov.u32 mov.b32 mov.s32 mov.f32 mov.u16 mov.b16 mov.s16", u32, u32, a);
  UNARY("mov.u64 mov.b64 mov.f64 mov.s64 cvta.to.global.u64 cvta.global.u64", u64, u64, a);
  UNARY("cvta.shared.u64", u64, u64, a | shared_window);
  UNARY("cvta.to.shared.u64", u64, u64, a & ~shared_window);
  UNARY("cvta.local.u64", u64, u64, a | local_window);
  UNARY("cvta.to.local.u64", u64, u64, a & ~local_window);
  BINARY("add.s32 add.u32", u32, u32, u32, a + b);
  BINARY("sub.s32 sub.u32", u32, u32, u32, a - b);
  BINARY("mul.lo.s32 mul.lo.u32", u32, u32, u32, a * b);
  BINARY("mul.hi.u32", u32, u32, u32, (u64)a * b >> 32);
  BINARY("mul.hi.s32", u32, s32, s32, (s64)a * b >> 32);
  BINARY("mul.wide.s32", s64, s32, s32, (s64)a * b);
  BINARY("mul.wide.u32", u64, u32, u32, (u64)a * b);
  BINARY("mul.wide.u16", u32, u32, u32, (a & 0xffff) * (b & 0xffff));
  BINARY("mul.wide.s16", s32, u32, u32, (s32)(int16_t)a * (int16_t)b);
  BINARY("mul.lo.s16 mul.lo.u16", u32, u32, u32, (u16)(a * b));
  BINARY("mul.lo.s64 mul.lo.u64", u64, u64, u64, a * b);
  BINARY("mul.hi.u64", u64, u64, u64, (unsigned __int128)a * b >> 64);
  BINARY("mul.hi.s64", s64, s64, s64, (__int128)a * b >> 64);
  BINARY("add.s64 add.u64", u64, u64, u64, a + b);
  BINARY("sub.s64 sub.u64", u64, u64, u64, a - b);
  BINARY("add.s16 add.u16", u32, u32, u32, (u16)(a + b));
  BINARY("sub.s16 sub.u16", u32, u32, u32, (u16)(a - b));
  BINARY("div.s32", s32, s32, s32, b == 0 ? -1 : (s32)((s64)a / b));
  BINARY("rem.s32", s32, s32, s32, b == 0 ? a : (s32)((s64)a % b));
  BINARY("div.u32", u32, u32, u32, b ? a / b : ~0u);
  BINARY("rem.u32", u32, u32, u32, b ? a % b : a);
  BINARY("div.u64", u64, u64, u64, b ? a / b : ~0ull);
  BINARY("rem.u64", u64, u64, u64, b ? a % b : a);
  BINARY("div.s64", s64, s64, s64, b == 0 ? -1 : b == -1 ? (s64)(0 - (u64)a) : a / b);
  BINARY("rem.s64", s64, s64, s64, b == 0 ? a : b == -1 ? 0 : a % b);
  BINARY("min.s32", s32, s32, s32, a < b ? a : b);
  BINARY("max.s32", s32, s32, s32, a > b ? a : b);
  BINARY("min.u32", u32, u32, u32, a < b ? a : b);
  BINARY("max.u32", u32, u32, u32, a > b ? a : b);
  BINARY("min.s64", s64, s64, s64, a < b ? a : b);
  BINARY("max.s64", s64, s64, s64, a > b ? a : b);
  BINARY("min.u64", u64, u64, u64, a < b ? a : b);
  BINARY("max.u64", u64, u64, u64, a > b ? a : b);
  BINARY("and.b32 and.b16", u32, u32, u32, a & b);
  BINARY("or.b32 or.b16", u32, u32, u32, a | b);
  BINARY("xor.b32 xor.b16", u32, u32, u32, a ^ b);
  BINARY("and.b64", u64, u64, u64, a & b);
  BINARY("or.b64", u64, u64, u64, a | b);
  BINARY("xor.b64", u64, u64, u64, a ^ b);
  UNARY("not.b32", u32, u32, ~a);
  UNARY("not.b16", u32, u32, (u16)~a);
  UNARY("not.b64", u64, u64, ~a);
  UNARY("neg.s32", u32, u32, 0 - a);
  UNARY("neg.s64", u64, u64, 0 - a);
  UNARY("abs.s32", u32, s32, a < 0 ? 0 - (u32)a : (u32)a);
  UNARY("abs.s64", u64, s64, a < 0 ? 0 - (u64)a : (u64)a);
  UNARY("popc.b32", u32, u32, __builtin_popcount(a));
  UNARY("clz.b32", u32, u32, a ? __builtin_clz(a) : 32);
  UNARY("brev.b32", u32, u32, [](u32 v) { u32 r = 0; for (int k = 0; k < 32; k++) r |= (v >> k & 1) << (31 - k); return r; }(a));
  BINARY("shl.b32", u32, u32, u32, b > 31 ? 0 : a << b);
  BINARY("shr.u32 shr.b32", u32, u32, u32, b > 31 ? 0 : a >> b);
  BINARY("shr.s32", s32, s32, u32, a >> (b > 31 ? 31 : b));
  BINARY("shl.b64", u64, u64, u32, b > 63 ? 0 : a << b);
  BINARY("shr.u64 shr.b64", u64, u64, u32, b > 63 ? 0 : a >> b);
  BINARY("shr.s64", s64, s64, u32, a >> (b > 63 ? 63 : b));
  BINARY("shl.b16", u32, u32, u32, b > 15 ? 0 : (u16)(a << b));
  BINARY("shr.u16 shr.b16", u32, u32, u32, b > 15 ? 0 : (a & 0xffff) >> b);
  BINARY("shr.s16", u32, u32, u32, (u16)((int16_t)a >> (b > 15 ? 15 : b)));
  TERNARY("mad.lo.s32 mad.lo.u32", u32, u32, u32, u32, a * b + c);
  TERNARY("mad.lo.s64 mad.lo.u64", u64, u64, u64, u64, a * b + c);
  TERNARY("mad.wide.s32", s64, s32, s32, s64, (s64)((u64)((s64)a * b) + (u64)c));
  TERNARY("mad.wide.u32", u64, u32, u32, u64, (u64)a * b + c);
  TERNARY("mad.hi.u32", u32, u32, u32, u32, ((u64)a * b >> 32) + c);
  TERNARY("shf.l.wrap.b32", u32, u32, u32, u32, ((u64)b << 32 | a) << (c & 31) >> 32);
  TERNARY("shf.r.wrap.b32", u32, u32, u32, u32, ((u64)b << 32 | a) >> (c & 31));
  TERNARY("bfe.u32", u32, u32, u32, u32, (b & 255) > 31 ? 0 : a >> (b & 255) & ((c & 255) > 31 ? ~0u : (1u << (c & 255)) - 1));
  TERNARY("prmt.b32", u32, u32, u32, u32, [](u64 v, u32 s) {
    u32 r = 0;
    for (int k = 0; k < 4; k++) {
      u32 n = s >> 4 * k & 15, byte = (u32)(v >> 8 * (n & 7)) & 255;
      if (n & 8) byte = byte & 128 ? 255 : 0;
      r |= byte << 8 * k;
    }
    return r;
  }((u64)b << 32 | a, c));
  // lop3's table is an immediate of its own: e
  define("lop3.b32", [](Warp &w, const Instruction &i, u32 m) {
    const u32 *a = lanes<u32>(w, i.a), *b = lanes<u32>(w, i.b), *c = lanes<u32>(w, i.c), *t = lanes<u32>(w, i.e);
    assign(lanes<u32>(w, i.d), m, [&](int l) {
      u32 r = 0;
      for (int k = 0; k < 8; k++)
        if (t[l] >> k & 1) r |= (k & 4 ? a[l] : ~a[l]) & (k & 2 ? b[l] : ~b[l]) & (k & 1 ? c[l] : ~c[l]);
      return r;
    });
  }, "44444");
  define("bfi.b32", [](Warp &w, const Instruction &i, u32 m) {
    const u32 *a = lanes<u32>(w, i.a), *b = lanes<u32>(w, i.b), *c = lanes<u32>(w, i.c), *e = lanes<u32>(w, i.e);
    assign(lanes<u32>(w, i.d), m, [&](int l) {
      u32 p = c[l] & 255, n = e[l] & 255, k = p > 31 ? 0 : (n > 31 ? ~0u : (1u << n) - 1) << p;
      return (b[l] & ~k) | ((p > 31 ? 0 : a[l] << p) & k);
    });
  }, "44444");
  // pairs of 32-bit registers and one of 64 bits
  define("mov.b64.unpack", [](Warp &w, const Instruction &i, u32 m) {
    LANES if (m >> l & 1) {
      u64 v = lanes<u64>(w, i.a)[l];
      lanes<u32>(w, i.vector[0])[l] = (u32)v;
      lanes<u32>(w, i.vector[1])[l] = (u32)(v >> 32);
    }
  }, "");
  define("mov.b64.pack", [](Warp &w, const Instruction &i, u32 m) {
    LANES if (m >> l & 1) lanes<u64>(w, i.d)[l] = lanes<u32>(w, i.vector[0])[l] | (u64)lanes<u32>(w, i.vector[1])[l] << 32;
  }, "");
}

template <class T>
static void define_float(const std::string &t) {
  for (const char *r : {".", ".rn."}) {
    BINARY(("add" + (r + t)).c_str(), T, T, T, a + b);
    BINARY(("sub" + (r + t)).c_str(), T, T, T, a - b);
    BINARY(("mul" + (r + t)).c_str(), T, T, T, a * b);
  }
  BINARY(("div.rn." + t).c_str(), T, T, T, a / b);
  TERNARY(("fma.rn." + t).c_str(), T, T, T, T, std::fma(a, b, c));
  UNARY(("rcp.rn." + t).c_str(), T, T, T(1) / a);
  UNARY(("sqrt.rn." + t).c_str(), T, T, std::sqrt(a));
  UNARY(("neg." + t).c_str(), T, T, -a);
  UNARY(("abs." + t).c_str(), T, T, std::fabs(a));
  BINARY(("min." + t).c_str(), T, T, T, smaller(a, b));
  BINARY(("max." + t).c_str(), T, T, T, larger(a, b));
  BINARY(("copysign." + t).c_str(), T, T, T, std::copysign(b, a));
}

static void define_floats() {
  define_float<float>("f32");
  define_float<double>("f64");
  UNARY("rcp.approx.f32 rcp.approx.ftz.f32", float, float, 1.0f / a);
  UNARY("rsqrt.approx.f32 rsqrt.approx.ftz.f32", float, float, 1.0f / std::sqrt(a));
  UNARY("ex2.approx.f32 ex2.approx.ftz.f32", float, float, std::exp2(a));
  UNARY("lg2.approx.f32 lg2.approx.ftz.f32", float, float, std::log2(a));
  UNARY("sin.approx.f32 sin.approx.ftz.f32", float, float, std::sin(a));
  UNARY("cos.approx.f32 cos.approx.ftz.f32", float, float, std::cos(a));
  UNARY("tanh.approx.f32", float, float, std::tanh(a));
}

static void define_conversions() {
  UNARY("cvt.s64.s32", s64, s32, a);
  UNARY("cvt.u64.u32", u64, u32, a);
  UNARY("cvt.u64.u16", u64, u32, (u16)a);
  UNARY("cvt.u32.u64 cvt.s32.s64 cvt.u32.s64 cvt.s32.u64", u32, u64, a);
  UNARY("cvt.u64.u64 cvt.s64.s64", u64, u64, a);
  UNARY("cvt.u32.u8 cvt.u16.u8", u32, u32, (u8)a);
  UNARY("cvt.s32.s8", s32, u32, (int8_t)a);
  UNARY("cvt.s16.s8", u32, u32, (u16)(int8_t)a);
  UNARY("cvt.u32.u16 cvt.u16.u32 cvt.s16.s32 cvt.u16.s32", u32, u32, (u16)a);
  UNARY("cvt.s32.s16", s32, u32, (int16_t)a);
  UNARY("cvt.u16.u64 cvt.s16.s64", u32, u64, (u16)a);
  UNARY("cvt.rn.f32.u8", float, u32, (u8)a);
  UNARY("cvt.rn.f32.u16", float, u32, (u16)a);
  UNARY("cvt.rn.f32.s16", float, u32, (int16_t)a);
  UNARY("cvt.rn.f32.u32", float, u32, a);
  UNARY("cvt.rn.f32.s32", float, s32, a);
  UNARY("cvt.rn.f32.u64", float, u64, a);
  UNARY("cvt.rn.f32.s64", float, s64, a);
  UNARY("cvt.rn.f64.s32", double, s32, a);
  UNARY("cvt.rn.f64.u32", double, u32, a);
  UNARY("cvt.rn.f64.s64", double, s64, a);
  UNARY("cvt.rn.f64.u64", double, u64, a);
  UNARY("cvt.f64.f32", double, float, a);
  UNARY("cvt.rn.f32.f64", float, double, a);
  UNARY("cvt.rzi.s32.f32", s32, float, saturate<s32>(a));
  UNARY("cvt.rzi.u32.f32", u32, float, saturate<u32>(a));
  UNARY("cvt.rzi.s64.f32", s64, float, saturate<s64>(a));
  UNARY("cvt.rzi.u64.f32", u64, float, saturate<u64>(a));
  UNARY("cvt.rni.s32.f32", s32, float, saturate<s32>(std::nearbyint(a)));
  UNARY("cvt.rmi.s32.f32", s32, float, saturate<s32>(std::floor(a)));
  UNARY("cvt.rpi.s32.f32", s32, float, saturate<s32>(std::ceil(a)));
  UNARY("cvt.rzi.s32.f64", s32, double, saturate<s32>(a));
  UNARY("cvt.rzi.u32.f64", u32, double, saturate<u32>(a));
  UNARY("cvt.rzi.s64.f64", s64, double, saturate<s64>(a));
  UNARY("cvt.rzi.u64.f64", u64, double, saturate<u64>(a));
  UNARY("cvt.rni.f32.f32", float, float, std::nearbyint(a));
  UNARY("cvt.rzi.f32.f32", float, float, std::trunc(a));
  UNARY("cvt.rmi.f32.f32", float, float, std::floor(a));
  UNARY("cvt.rpi.f32.f32", float, float, std::ceil(a));
  UNARY("cvt.sat.f32.f32", float, float, a > 0 ? (a < 1 ? a : 1.0f) : 0.0f);
}

template <class T>
static void define_ordered(const std::string &t) {
  compare<T>("setp.lt." + t, [](T a, T b) { return a < b; });
  compare<T>("setp.le." + t, [](T a, T b) { return a <= b; });
  compare<T>("setp.gt." + t, [](T a, T b) { return a > b; });
  compare<T>("setp.ge." + t, [](T a, T b) { return a >= b; });
  compare<T>("setp.eq." + t, [](T a, T b) { return a == b; });
}

template <class T>
static void define_integer_order(const std::string &t) {
  define_ordered<T>(t);
  compare<T>("setp.ne." + t, [](T a, T b) { return a != b; });
}

template <class T>
static void define_float_order(const std::string &t) {
  define_ordered<T>(t);
  compare<T>("setp.ne." + t, [](T a, T b) { return a < b || a > b; });
  compare<T>("setp.equ." + t, [](T a, T b) { return !(a < b || a > b); });
  compare<T>("setp.neu." + t, [](T a, T b) { return a != b; });
  compare<T>("setp.ltu." + t, [](T a, T b) { return !(a >= b); });
  compare<T>("setp.leu." + t, [](T a, T b) { return !(a > b); });
  compare<T>("setp.gtu." + t, [](T a, T b) { return !(a <= b); });
  compare<T>("setp.geu." + t, [](T a, T b) { return !(a < b); });
  compare<T>("setp.nan." + t, [](T a, T b) { return a != a || b != b; });
  compare<T>("setp.num." + t, [](T a, T b) { return a == a && b == b; });
}

static void define_predicates() {
  define_integer_order<s32>("s32");
  define_integer_order<u32>("u32");
  define_integer_order<s64>("s64");
  define_integer_order<u64>("u64");
  compare<u32>("setp.eq.b32 setp.eq.u16 setp.eq.s16 setp.eq.b16", [](u32 a, u32 b) { return a == b; });
  compare<u32>("setp.ne.b32 setp.ne.u16 setp.ne.s16 setp.ne.b16", [](u32 a, u32 b) { return a != b; });
  compare<u64>("setp.eq.b64", [](u64 a, u64 b) { return a == b; });
  compare<u64>("setp.ne.b64", [](u64 a, u64 b) { return a != b; });
  compare<u32>("setp.lt.s16", [](u32 a, u32 b) { return (int16_t)a < (int16_t)b; });
  compare<u32>("setp.gt.s16", [](u32 a, u32 b) { return (int16_t)a > (int16_t)b; });
  compare<u32>("setp.lt.u16", [](u32 a, u32 b) { return (u16)a < (u16)b; });
  compare<u32>("setp.gt.u16", [](u32 a, u32 b) { return (u16)a > (u16)b; });
  define_float_order<float>("f32");
  define_float_order<double>("f64");
  logic("and.pred", [](u32 a, u32 b) { return a & b; });
  logic("or.pred", [](u32 a, u32 b) { return a | b; });
  logic("xor.pred", [](u32 a, u32 b) { return a ^ b; });
  define("not.pred", [](Warp &w, const Instruction &i, u32 m) { set_predicate(w, i.d, ~w.predicates[i.a], m); }, "pp");
  define("mov.pred", [](Warp &w, const Instruction &i, u32 m) { set_predicate(w, i.d, w.predicates[i.a], m); }, "pp");
  select<u32>("selp.b32 selp.f32 selp.u32 selp.s32 selp.u16 selp.b16 selp.s16");
  select<u64>("selp.b64 selp.f64 selp.u64 selp.s64");
}

// Shuffles and votes. The parser makes them wait until the lanes that the mask names have come.
enum class Shuffle { Up, Down, Butterfly, Index };

template <Shuffle how>
static void shuffle(Warp &w, const Instruction &i, u32 m) {
  u32 from[32], *d = lanes<u32>(w, i.d);
  memcpy(from, lanes<u32>(w, i.a), sizeof from);
  const u32 *b = lanes<u32>(w, i.b), *clamp = lanes<u32>(w, i.c);
  LANES if (m >> l & 1) {
    int segment = clamp[l] >> 8 & 31, bound = clamp[l] & 31, first = l & segment, last = first | (bound & ~segment), o = b[l] & 31, j = 0;
    bool inside = false;
    switch (how) {
    case Shuffle::Up: j = l - o, inside = j >= last; break; // for up, the clamp gives the lowest lane
    case Shuffle::Down: j = l + o, inside = j <= last; break;
    case Shuffle::Butterfly: j = l ^ o, inside = j <= last; break;
    case Shuffle::Index: j = first | (o & ~segment), inside = j <= last; break;
    }
    if (inside && !(m >> j & 1)) fail(w, i, CUDA_ERROR_ILLEGAL_INSTRUCTION, format("shfl.sync reads lane %d, which takes no part", j));
    d[l] = from[inside ? j : l];
    if (i.pair) set_predicate(w, i.pair - 1, (u32)inside << l, 1u << l);
  }
}

static void define_convergence() {
  define("shfl.sync.up.b32", shuffle<Shuffle::Up>, "S");
  define("shfl.sync.down.b32", shuffle<Shuffle::Down>, "S");
  define("shfl.sync.bfly.b32", shuffle<Shuffle::Butterfly>, "S");
  define("shfl.sync.idx.b32", shuffle<Shuffle::Index>, "S");
  define("vote.sync.ballot.b32", [](Warp &w, const Instruction &i, u32 m) {
    u32 v = w.predicates[i.a] & m;
    assign(lanes<u32>(w, i.d), m, [&](int) { return v; });
  }, "4pC");
  define("vote.sync.any.pred", [](Warp &w, const Instruction &i, u32 m) { set_predicate(w, i.d, w.predicates[i.a] & m ? ~0u : 0, m); }, "ppC");
  define("vote.sync.all.pred", [](Warp &w, const Instruction &i, u32 m) { set_predicate(w, i.d, (w.predicates[i.a] & m) == m ? ~0u : 0, m); }, "ppC");
  define("bar.warp.sync", [](Warp &, const Instruction &, u32) {}, "C");
  define("activemask.b32", [](Warp &w, const Instruction &i, u32 m) { assign(lanes<u32>(w, i.d), m, [&](int) { return m; }); }, "4");
  define("membar.gl membar.cta membar.sys fence.acq_rel.gpu fence.acq_rel.sys fence.sc.gpu fence.sc.sys", [](Warp &, const Instruction &, u32) {}, "");
}

const Operation *find_operation(const std::string &opcode) {
  static const bool defined = [] {
    define_integers();
    define_floats();
    define_conversions();
    define_predicates();
    define_convergence();
    return true;
  }();
  (void)defined;
  auto it = table.find(opcode);
  return it == table.end() ? nullptr : &it->second;
}

}  // namespace sim
