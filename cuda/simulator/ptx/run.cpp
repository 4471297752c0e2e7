// The execution of a launch: warps of 32 lanes in lock step. Where lanes part, the part with the lowest instruction runs first, so
// that they come together again behind a branch.
#include "run.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "../core/counters.h"
#include "../core/settings.h"

namespace sim {

void fail(Warp &w, const Instruction &i, CUresult code, const std::string &what) {
  std::string where = i.file > 0 && (size_t)i.file < w.kernel->files->size() && i.source ? format("%s:%d", (*w.kernel->files)[(size_t)i.file].c_str(), i.source) : std::string("an unknown place");
  const Dim &b = w.block->index;
  throw Fault(code, what + format(" [kernel %s at %s, PTX line %d, block (%u,%u,%u), warp %u]", w.kernel->name.c_str(), where.c_str(), i.line, b.x, b.y, b.z, w.number));
}

// Runs a warp until it ends (true) or waits at a barrier.
static bool advance(Warp &w) {
  const Instruction *code = w.kernel->code.data();
  auto &fragments = w.fragments;
  while (!fragments.empty()) {
    size_t lowest = fragments.size();
    for (size_t k = 0; k < fragments.size(); k++)
      if (!fragments[k].waiting && (lowest == fragments.size() || fragments[k].pc < fragments[lowest].pc)) lowest = k;
    if (lowest == fragments.size()) fail(w, code[fragments[0].pc], CUDA_ERROR_LAUNCH_TIMEOUT, "deadlock: a part of a warp waits for lanes that are elsewhere or have ended (a barrier in a branch?)");
    Fragment f = fragments[lowest];
    fragments.erase(fragments.begin() + (long)lowest);
    int meet = 1 << 30; // where this part meets another
    for (size_t k = 0; k < fragments.size();) {
      if (fragments[k].pc == f.pc) {
        f.mask |= fragments[k].mask;
        fragments.erase(fragments.begin() + (long)k);
        continue;
      }
      if (!fragments[k].waiting || fragments[k].pc > f.pc) meet = std::min(meet, fragments[k].pc);
      k++;
    }
    int pc = f.pc;
    u32 mask = f.mask;
    for (;;) {
      if (pc >= meet) {
        fragments.push_back({pc, mask, false});
        break;
      }
      const Instruction &i = code[pc];
      u32 active = mask;
      if (i.guard >= 0) active &= i.negated ? ~w.predicates[i.guard] : w.predicates[i.guard];
      if (i.kind == Kind::Plain) {
        if (active) i.run(w, i, active);
        pc++;
        continue;
      }
      if (i.kind == Kind::Branch) {
        if (active == mask) {
          pc = i.target;
          if (fragments.empty()) continue;
          fragments.push_back({pc, mask, false});
          break;
        }
        if (!active) {
          pc++;
          continue;
        }
        fragments.push_back({i.target, active, false});
        fragments.push_back({pc + 1, mask & ~active, false});
        break;
      }
      if (i.kind == Kind::Return) {
        w.live &= ~active;
        mask &= ~active;
        if (!mask) break;
        pc++;
        continue;
      }
      // a barrier, or lanes that must come together
      bool barrier = i.kind == Kind::Barrier;
      u32 needed = barrier ? w.live : active ? lanes<u32>(w, i.e)[__builtin_ctz(active)] : 0;
      if ((needed & ~active) || (barrier && active != mask)) {
        if (needed & ~w.live) fail(w, i, CUDA_ERROR_ILLEGAL_INSTRUCTION, "it waits for lanes that have ended");
        bool others = false;
        for (auto &x : fragments) others |= !x.waiting;
        if (!others) fail(w, i, CUDA_ERROR_LAUNCH_TIMEOUT, barrier ? "a part of a warp alone comes to __syncthreads" : "the lanes that it names are elsewhere");
        fragments.push_back({pc, mask, true});
        break;
      }
      if (barrier) {
        fragments.push_back({pc + 1, mask, false});
        w.barrier = pc;
        return false;
      }
      i.run(w, i, active);
      pc++;
    }
  }
  return true;
}

void check_launch(const LaunchPlan &p) {
  const Dim &g = p.grid, &b = p.block;
  u64 threads = (u64)b.x * b.y * b.z;
  if (!g.x || !g.y || !g.z || !threads) throw Fault(CUDA_ERROR_INVALID_VALUE, "an empty grid or block");
  if (g.x > 0x7fffffff || g.y > 65535 || g.z > 65535) throw Fault(CUDA_ERROR_INVALID_VALUE, format("a grid of %u×%u×%u", g.x, g.y, g.z));
  if (b.x > 1024 || b.y > 1024 || b.z > 64 || threads > 1024) throw Fault(CUDA_ERROR_INVALID_VALUE, format("a block of %u×%u×%u threads", b.x, b.y, b.z));
  if (threads > p.kernel->max_threads) throw Fault(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, format("%llu threads, at most %u", (unsigned long long)threads, p.kernel->max_threads));
  if ((u64)p.kernel->shared_bytes + p.dynamic_shared > 49152) throw Fault(CUDA_ERROR_INVALID_VALUE, "more than 48 KiB of shared memory");
}

static void fill(u8 *r, u32 bytes, u64 value) {
  if (bytes == 8) LANES ((u64 *)r)[l] = value;
  else LANES ((u32 *)r)[l] = (u32)value;
}

// Runs one block.
static void run_block(std::vector<Warp> &warps, Block &block, const std::vector<u32> &order, u32 threads) {
  u32 count = (u32)warps.size();
  std::fill(block.shared.begin(), block.shared.end(), (u8)0xff);
  std::fill(block.shadow.begin(), block.shadow.end(), Shadow());
  block.epoch = 1;
  for (u32 k = 0; k < count; k++) {
    Warp &w = warps[k];
    u32 n = std::min(32u, threads - k * 32);
    w.live = n == 32 ? ~0u : (1u << n) - 1;
    w.fragments.assign(1, {0, w.live, false});
    w.done = false;
    for (const Preset &p : w.kernel->presets)
      if (p.what == Preset::Special && p.value >= 6 && p.value <= 8) fill(w.registers + p.slot, 4, p.value == 6 ? block.index.x : p.value == 7 ? block.index.y : block.index.z);
  }
  for (u32 left = count; left;) {
    int barrier = -1;
    u32 waiting = 0;
    for (u32 k : order) {
      Warp &w = warps[k];
      if (w.done) continue;
      if (advance(w)) {
        w.done = true;
        left--;
        continue;
      }
      if (barrier >= 0 && barrier != w.barrier) fail(w, w.kernel->code[(size_t)w.barrier], CUDA_ERROR_LAUNCH_TIMEOUT, "warps of a block wait at different __syncthreads");
      barrier = w.barrier;
      waiting++;
    }
    if (waiting && waiting < count)
      for (Warp &w : warps)
        if (!w.done) fail(w, w.kernel->code[(size_t)w.barrier], CUDA_ERROR_LAUNCH_TIMEOUT, "__syncthreads is not reached by every warp: another one has ended");
    block.epoch++;
  }
}

void run(const LaunchPlan &p, Heap &heap) {
  const Kernel &k = *p.kernel;
  static u32 serial = 0; // of blocks, over all launches
  static std::mt19937 random(1);
  const Settings &s = settings();
  u32 threads = p.block.x * p.block.y * p.block.z, count = (threads + 31) / 32, stride = (k.register_bytes + 63) / 64 * 64;
  std::vector<u8> registers((size_t)stride * count + 64), local((size_t)k.local_bytes * 32 * count);
  std::vector<u32> predicates((size_t)k.predicates * count + 1), order(count);
  u8 *base = (u8 *)(((u64)registers.data() + 63) & ~63ull);
  Block block;
  block.shared.resize(k.shared_bytes + p.dynamic_shared);
  block.shadow.resize(block.shared.size() / 4 + 1);
  block.first_serial = serial + 1;
  std::vector<Warp> warps(count);
  for (u32 n = 0; n < count; n++) {
    Warp &w = warps[n];
    w.registers = base + (size_t)stride * n;
    w.predicates = predicates.data() + (size_t)k.predicates * n;
    w.local = local.data() + (size_t)k.local_bytes * 32 * n;
    w.block = &block, w.kernel = &k, w.heap = &heap, w.races = s.races, w.number = (u16)n;
    for (const Preset &x : k.presets) {
      if (!x.bytes) {
        w.predicates[x.slot] = x.value ? ~0u : 0;
        continue;
      }
      u8 *r = w.registers + x.slot;
      u64 v = 0;
      if (x.what == Preset::Constant) {
        fill(r, x.bytes, x.value);
      } else if (x.what == Preset::Param) {
        memcpy(&v, p.arguments.data() + x.value, x.read);
        u32 unused = 64 - 8 * x.read;
        if (x.extend) v = (u64)((s64)(v << unused) >> unused);
        fill(r, x.bytes, v);
      } else {
        LANES {
          u32 t = n * 32 + (u32)l;
          u32 values[special_count] = {t % p.block.x, t / p.block.x % p.block.y, t / p.block.x / p.block.y, p.block.x, p.block.y, p.block.z, 0, 0, 0,
                                       p.grid.x, p.grid.y, p.grid.z, (u32)l, n, (1u << l) - 1, 1u << l};
          ((u32 *)r)[l] = values[x.value];
        }
      }
    }
  }
  std::iota(order.begin(), order.end(), 0u);
  if (s.order == Order::Reverse) std::reverse(order.begin(), order.end());
  u64 blocks = (u64)p.grid.x * p.grid.y * p.grid.z;
  std::vector<u32> shuffled;
  if (s.order == Order::Shuffle) {
    shuffled.resize(blocks);
    std::iota(shuffled.begin(), shuffled.end(), 0u);
    std::shuffle(shuffled.begin(), shuffled.end(), random);
  }
  for (u64 n = 0; n < blocks; n++) {
    u64 b = s.order == Order::Forward ? n : s.order == Order::Reverse ? blocks - 1 - n : shuffled[n];
    block.index = {(u32)(b % p.grid.x), (u32)(b / p.grid.x % p.grid.y), (u32)(b / p.grid.x / p.grid.y)};
    block.serial = ++serial;
    if (s.order == Order::Shuffle) std::shuffle(order.begin(), order.end(), random);
    run_block(warps, block, order, threads);
  }
}

}  // namespace sim
