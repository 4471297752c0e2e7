// Loads, stores, atomics and reductions, each access checked: bounds and alignment against the living allocations; in shared
// memory bounds, data races between warps since the last barrier and reads of what nobody wrote; on request data races between
// blocks on global memory.
#include <cstring>
#include <sstream>

#include "warp.h"

namespace sim {

typedef unsigned long long ull;

// What makes an access to global memory a race: another block of the same launch touched the word without an atomic.
static void check_race(Warp &w, const Instruction &i, Allocation &a, u64 address, u32 bytes, bool write) {
  size_t words = (a.size + 3) / 4;
  if (a.writers.size() != words) a.writers.assign(words, 0), a.readers.assign(words, 0), a.others.assign(words, 0);
  u32 me = w.block->serial, first = w.block->first_serial;
  for (u64 k = (address - a.base) / 4; k <= (address - a.base + bytes - 1) / 4; k++) {
    u32 &writer = a.writers[k], &reader = a.readers[k], &other = a.others[k];
    if (writer >= first && writer != me) fail(w, i, CUDA_ERROR_LAUNCH_FAILED, format("race between blocks: word %llu of allocation #%d was written by another block of this launch", (ull)k, a.id));
    if (write && ((reader >= first && reader != me) || (other >= first && other != me))) fail(w, i, CUDA_ERROR_LAUNCH_FAILED, format("race between blocks: word %llu of allocation #%d was read by another block of this launch", (ull)k, a.id));
    if (write) writer = me;
    else {
      if (reader != me) other = reader;
      reader = me;
    }
  }
}

// The host's address of a lane's access to global memory.
static u8 *global(Warp &w, const Instruction &i, u64 address, u32 bytes, const char *what, bool write, int lane) {
  if (address & (bytes - 1)) fail(w, i, CUDA_ERROR_MISALIGNED_ADDRESS, format("%s of %u bytes at 0x%llx, lane %d", what, bytes, (ull)address, lane));
  Allocation *a = i.hint;
  if (!a || !a->holds(address, bytes)) {
    a = w.heap->find(address);
    if (!a || !a->holds(address, bytes)) fail(w, i, CUDA_ERROR_ILLEGAL_ADDRESS, format("global %s, lane %d: ", what, lane) + w.heap->describe(address, bytes));
    i.hint = a;
  }
  if (w.races && !i.strong) check_race(w, i, *a, address, bytes, write);
  return a->at(address);
}

static u8 *shared(Warp &w, const Instruction &i, u64 address, u32 bytes, bool write) {
  Block &b = *w.block;
  if (address + bytes > b.shared.size()) fail(w, i, CUDA_ERROR_ILLEGAL_ADDRESS, format("shared access at byte %llu of %zu", (ull)address, b.shared.size()));
  if (address & (bytes - 1)) fail(w, i, CUDA_ERROR_MISALIGNED_ADDRESS, format("shared access of %u bytes at byte %llu", bytes, (ull)address));
  for (u64 k = address / 4; k <= (address + bytes - 1) / 4; k++) {
    Shadow &s = b.shadow[k];
    if (s.write_epoch == b.epoch && s.writer != w.number && !i.strong)
      fail(w, i, CUDA_ERROR_LAUNCH_FAILED, format("shared-memory race: byte %llu was written by warp %u since the last barrier", (ull)k * 4, s.writer));
    if (write && s.read_epoch == b.epoch && s.reader != w.number && !i.strong)
      fail(w, i, CUDA_ERROR_LAUNCH_FAILED, format("shared-memory race: byte %llu was read by another warp since the last barrier", (ull)k * 4));
    if (!write && !s.write_epoch) fail(w, i, CUDA_ERROR_LAUNCH_FAILED, format("read of shared memory that nobody wrote, byte %llu", (ull)k * 4));
    if (write) {
      s.write_epoch = b.epoch, s.writer = w.number;
    } else {
      s.reader = s.read_epoch == b.epoch && s.reader != w.number ? 0xffff : w.number;
      s.read_epoch = b.epoch;
    }
  }
  return b.shared.data() + address;
}

static u8 *local(Warp &w, const Instruction &i, u64 address, u32 bytes, int lane) {
  if (address + bytes > w.kernel->local_bytes || (address & (bytes - 1))) fail(w, i, CUDA_ERROR_ILLEGAL_ADDRESS, format("local access of %u bytes at byte %llu of %u", bytes, (ull)address, w.kernel->local_bytes));
  return w.local + (size_t)lane * w.kernel->local_bytes + address;
}

static inline u64 address_of(Warp &w, const Instruction &i, int lane) {
  return (i.wide ? lanes<u64>(w, i.a)[lane] : lanes<u32>(w, i.a)[lane]) + (u64)i.offset;
}

static u8 *place(Warp &w, const Instruction &i, u64 address, u32 bytes, const char *what, bool write, int lane) {
  switch (i.space) {
  case Space::Global: return global(w, i, address, bytes, what, write, lane);
  case Space::Shared: return shared(w, i, address, bytes, write);
  case Space::Local: return local(w, i, address, bytes, lane);
  case Space::Generic: break;
  }
  if ((address & ~0xffffffull) == shared_window) return shared(w, i, address & 0xffffff, bytes, write);
  if ((address & ~0xffffffull) == local_window) return local(w, i, address & 0xffffff, bytes, lane);
  return global(w, i, address, bytes, what, write, lane);
}

// When all lanes access one allocation in global memory, as most accesses do, it is checked once.
static bool one_allocation(Warp &w, const Instruction &i, const u64 *at, u32 bytes) {
  if (i.space != Space::Global || w.races || !i.hint) return false;
  u64 lowest = at[0], highest = at[0], bits = 0;
  LANES {
    lowest = at[l] < lowest ? at[l] : lowest;
    highest = at[l] > highest ? at[l] : highest;
    bits |= at[l];
  }
  return !(bits & (bytes - 1)) && i.hint->holds(lowest, bytes) && i.hint->holds(highest, bytes);
}

// M is the type in memory, L the type of a lane's register.
template <class M, class L>
static void load(Warp &w, const Instruction &i, u32 m) {
  u32 bytes = sizeof(M) * i.width;
  if (m == ~0u) {
    u64 at[32];
    LANES at[l] = address_of(w, i, l);
    if (one_allocation(w, i, at, bytes)) {
      const u8 *host = i.hint->host - i.hint->base;
      for (int k = 0; k < i.width; k++) {
        L *d = lanes<L>(w, i.vector[k]);
        LANES {
          M v;
          memcpy(&v, host + at[l] + k * sizeof(M), sizeof v);
          d[l] = (L)v;
        }
      }
      return;
    }
  }
  LANES if (m >> l & 1) {
    const u8 *p = place(w, i, address_of(w, i, l), bytes, "load", false, l);
    for (int k = 0; k < i.width; k++) {
      M v;
      memcpy(&v, p + k * sizeof(M), sizeof v);
      lanes<L>(w, i.vector[k])[l] = (L)v;
    }
  }
}

template <class M, class L>
static void store(Warp &w, const Instruction &i, u32 m) {
  u32 bytes = sizeof(M) * i.width;
  if (m == ~0u) {
    u64 at[32];
    LANES at[l] = address_of(w, i, l);
    if (one_allocation(w, i, at, bytes)) {
      u8 *host = i.hint->host - i.hint->base;
      for (int k = 0; k < i.width; k++) {
        const L *s = lanes<L>(w, i.vector[k]);
        LANES {
          M v = (M)s[l];
          memcpy(host + at[l] + k * sizeof(M), &v, sizeof v);
        }
      }
      return;
    }
  }
  LANES if (m >> l & 1) {
    u8 *p = place(w, i, address_of(w, i, l), bytes, "store", true, l);
    for (int k = 0; k < i.width; k++) {
      M v = (M)lanes<L>(w, i.vector[k])[l];
      memcpy(p + k * sizeof(M), &v, sizeof v);
    }
  }
}

// The lanes of an atomic come one after another, in their order.
template <class T, class F>
static void atomic(Warp &w, const Instruction &i, u32 m) {
  LANES if (m >> l & 1) {
    u8 *p = place(w, i, address_of(w, i, l), sizeof(T), "atomic", true, l);
    T old, now;
    memcpy(&old, p, sizeof old);
    now = F{}(old, lanes<T>(w, i.b)[l], i.c ? lanes<T>(w, i.c)[l] : T{});
    memcpy(p, &now, sizeof now);
    if (i.d) lanes<T>(w, i.d)[l] = old;
  }
}

struct Add { template <class T> T operator()(T a, T b, T) const { return a + b; } };
struct Min { template <class T> T operator()(T a, T b, T) const { return b < a ? b : a; } };
struct Max { template <class T> T operator()(T a, T b, T) const { return b > a ? b : a; } };
struct And { template <class T> T operator()(T a, T b, T) const { return a & b; } };
struct Or { template <class T> T operator()(T a, T b, T) const { return a | b; } };
struct Xor { template <class T> T operator()(T a, T b, T) const { return a ^ b; } };
struct Exchange { template <class T> T operator()(T, T b, T) const { return b; } };
struct CompareSwap { template <class T> T operator()(T a, T b, T c) const { return a == b ? c : a; } };

static Execute find_atomic(const std::string &op, const std::string &type) {
  bool wide = type.size() == 3 && type.substr(1) == "64";
  if (op == "add") {
    if (type == "f32") return atomic<float, Add>;
    if (type == "f64") return atomic<double, Add>;
    if (type == "u32" || type == "s32") return atomic<u32, Add>;
    if (type == "u64") return atomic<u64, Add>;
  }
  if (op == "min" || op == "max") {
    bool min = op == "min";
    if (type == "u32") return min ? atomic<u32, Min> : atomic<u32, Max>;
    if (type == "s32") return min ? atomic<s32, Min> : atomic<s32, Max>;
    if (type == "u64") return min ? atomic<u64, Min> : atomic<u64, Max>;
    if (type == "s64") return min ? atomic<s64, Min> : atomic<s64, Max>;
  }
  if (type == "b32" || type == "b64") {
    if (op == "and") return wide ? atomic<u64, And> : atomic<u32, And>;
    if (op == "or") return wide ? atomic<u64, Or> : atomic<u32, Or>;
    if (op == "xor") return wide ? atomic<u64, Xor> : atomic<u32, Xor>;
    if (op == "exch") return wide ? atomic<u64, Exchange> : atomic<u32, Exchange>;
    if (op == "cas") return wide ? atomic<u64, CompareSwap> : atomic<u32, CompareSwap>;
  }
  return nullptr;
}

template <class M, class L>
static Execute pick(bool load_) { return load_ ? load<M, L> : store<M, L>; }

// A register may be wider than what is loaded into it or stored from it: signed loads extend the sign.
template <class M, class Narrow, class Wide>
static Execute pick(bool load_, bool wide) { return wide ? pick<M, Wide>(load_) : pick<M, Narrow>(load_); }

static Execute find_move(const std::string &t, bool load_, bool wide) {
  if (t == "u8" || t == "b8") return pick<u8, u32, u64>(load_, wide);
  if (t == "s8") return pick<int8_t, s32, s64>(load_, wide);
  if (t == "u16" || t == "b16") return pick<u16, u32, u64>(load_, wide);
  if (t == "s16") return pick<int16_t, s32, s64>(load_, wide);
  if (t == "u32" || t == "b32" || t == "f32") return pick<u32, u32, u64>(load_, wide);
  if (t == "s32") return pick<s32, s32, s64>(load_, wide);
  if (t == "u64" || t == "b64" || t == "s64" || t == "f64") return pick<u64, u64>(load_);
  return nullptr;
}

Access find_access(const std::string &opcode, bool wide) {
  std::vector<std::string> words;
  std::istringstream s(opcode);
  for (std::string word; std::getline(s, word, '.');) words.push_back(word);
  Access a = {};
  a.space = Space::Generic;
  a.load = words[0] == "ld", a.store = words[0] == "st", a.atomic = !a.load && !a.store;
  a.strong = a.atomic;
  std::string op, type = words.back();
  for (size_t k = 1; k + 1 < words.size(); k++) {
    const std::string &x = words[k];
    if (x == "global") a.space = Space::Global;
    else if (x == "shared") a.space = Space::Shared;
    else if (x == "local") a.space = Space::Local;
    else if (x == "const") a.space = Space::Global; // constants lie in the heap as other module-scope variables do
    else if (x == "volatile" || x == "relaxed" || x == "acquire" || x == "release") a.strong = true;
    else if (x == "v2" || x == "v4" || x == "nc" || x == "ca" || x == "cg" || x == "cs" || x == "cv" || x == "wb" || x == "wt" || x == "gpu" || x == "sys" || x == "cta") {
      if (x == "cv" || x == "cg") a.strong = true;
    } else if (a.atomic && op.empty()) op = x;
    else throw std::string("modifier ." + x);
  }
  a.run = a.atomic ? find_atomic(op, type) : find_move(type, a.load, wide);
  if (!a.run) throw std::string("type ." + type);
  a.compare = op == "cas";
  a.lane = type.substr(1) == "64" || (wide && !a.atomic) ? '8' : '4';
  return a;
}

}  // namespace sim
