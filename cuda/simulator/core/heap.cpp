#include "heap.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "counters.h"
#include "settings.h"

namespace sim {

static const u64 reserve = 1ull << 38, gap = 4096, alignment = 512;

Heap::Heap() : total_(settings().memory) {
  void *a = mmap((void *)0x200000000000ull, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void *b = mmap(nullptr, reserve, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (a == MAP_FAILED || b == MAP_FAILED) {
    say("cannot reserve the device's address space");
    abort();
  }
  first_ = (u64)a, next_ = first_ + gap, end_ = first_ + reserve, bytes_ = (u8 *)b;
}

u64 Heap::allocate(u64 size, void *owner, const char *made_by) {
  count_++;
  u64 rounded = (size + alignment - 1) / alignment * alignment;
  if (count_ == settings().fail_allocation)
    throw Fault(CUDA_ERROR_OUT_OF_MEMORY, format("allocation %d of %llu bytes fails as GCNN_SIM_FAIL_ALLOCATION asks", count_, (unsigned long long)size));
  if (rounded > total_ - used_ || size > total_)
    throw Fault(CUDA_ERROR_OUT_OF_MEMORY, format("%llu bytes asked for, %llu of %llu free", (unsigned long long)size, (unsigned long long)(total_ - used_), (unsigned long long)total_));
  if (rounded + 2 * gap > end_ - next_) throw Fault(CUDA_ERROR_OUT_OF_MEMORY, "the simulator never uses an address twice and has none left");
  u64 base = next_;
  next_ += rounded + gap;
  used_ += rounded;
  auto a = std::make_unique<Allocation>(Allocation{base, size, bytes_ + (base - first_), ++ids_, true, false, owner, made_by, {}, {}, {}});
  memset(a->host, 0xff, size);
  all_[base] = std::move(a);
  born("live.device allocations");
  counter("live.device bytes").value += size;
  return base;
}

Allocation *Heap::pin(void *memory, u64 size, void *owner, const char *made_by) {
  auto a = std::make_unique<Allocation>(Allocation{(u64)memory, size, (u8 *)memory, ++ids_, true, true, owner, made_by, {}, {}, {}});
  Allocation *p = a.get();
  all_[p->base] = std::move(a);
  born("live.pinned allocations");
  return p;
}

void Heap::free(u64 address, bool pinned) {
  auto it = all_.find(address);
  if (it == all_.end() || it->second->pinned != pinned)
    throw Fault(CUDA_ERROR_INVALID_VALUE, format("0x%llx is not the start of an allocation%s", (unsigned long long)address, it == all_.end() ? "" : " of this kind"));
  Allocation &a = *it->second;
  if (!a.live) throw Fault(CUDA_ERROR_INVALID_VALUE, format("allocation #%d was freed before", a.id));
  a.live = false;
  a.writers = {}, a.readers = {}, a.others = {};
  if (pinned) {
    died("live.pinned allocations");
    return;
  }
  died("live.device allocations");
  counter("live.device bytes").value -= a.size;
  u64 rounded = (a.size + alignment - 1) / alignment * alignment;
  used_ -= rounded;
  u64 from = ((u64)a.host + 4095) & ~4095ull, to = ((u64)a.host + rounded) & ~4095ull; // whole pages go back to the host
  if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}

Allocation *Heap::find(u64 address) {
  auto it = all_.upper_bound(address);
  return it == all_.begin() ? nullptr : std::prev(it)->second.get();
}

u8 *Heap::resolve(u64 address, u64 bytes, const std::string &what) {
  Allocation *a = find(address);
  if (!a || !a->holds(address, bytes)) throw Fault(CUDA_ERROR_ILLEGAL_ADDRESS, what + ": " + describe(address, bytes));
  return a->at(address);
}

std::string Heap::describe(u64 address, u64 bytes) {
  typedef unsigned long long ull;
  std::string range = format("%llu bytes at 0x%llx ", (ull)bytes, (ull)address);
  Allocation *a = find(address);
  if (!address) return range + "are at a null pointer";
  if (!a || (address >= a->base + a->size && (address < first_ || address >= end_))) return range + "are no device memory (a host pointer?)";
  std::string which = format("allocation #%d (%llu bytes, made by %s)", a->id, (ull)a->size, a->made_by.c_str());
  if (address < a->base + a->size && !a->live) return range + "are in " + which + ", which was freed";
  return range + format("end %llu bytes behind the end of ", (ull)(address + bytes - a->base - a->size)) + which + (a->live ? "" : ", which was freed");
}

std::vector<Allocation *> Heap::of(void *owner) {
  std::vector<Allocation *> v;
  for (auto &p : all_) if (p.second->live && p.second->owner == owner) v.push_back(p.second.get());
  return v;
}

}  // namespace sim
