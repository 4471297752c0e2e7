// The device's memory. Addresses are never used twice and allocations are kept apart by gaps, so that an access outside every
// living allocation is always found. Device addresses cannot be dereferenced by the host: they lie in a range that is reserved
// without access, and the bytes lie elsewhere.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fault.h"

namespace sim {

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

struct Allocation {
  u64 base, size;
  u8 *host;        // where the bytes are
  int id;          // counts from 1
  bool live, pinned;
  void *owner;     // the context
  std::string made_by;
  std::vector<u32> writers, readers, others; // by word: the last block to write, the last to read, and another reader before; see ptx/memory.cpp

  bool holds(u64 address, u64 bytes) const { return live && address >= base && bytes <= size && address - base <= size - bytes; }
  u8 *at(u64 address) const { return host + (address - base); }
};

class Heap {
 public:
  Heap();
  u64 total() const { return total_; }
  u64 used() const { return used_; }

  // The address of new device memory, filled with 0xff: floats are NaN, integers −1. Throws CUDA_ERROR_OUT_OF_MEMORY.
  u64 allocate(u64 size, void *owner, const char *made_by);
  // Makes memory of the host known to the device at its own address.
  Allocation *pin(void *memory, u64 size, void *owner, const char *made_by);
  // Ends an allocation; throws CUDA_ERROR_INVALID_VALUE unless address is the base of a living one of that kind.
  void free(u64 address, bool pinned);

  // The allocation with the largest base at or below address, living or not; null if there is none.
  Allocation *find(u64 address);
  // The bytes of a range that lies in one living allocation; otherwise a fault that says what `what` touched.
  u8 *resolve(u64 address, u64 bytes, const std::string &what);
  // What is wrong with a range that is in no living allocation.
  std::string describe(u64 address, u64 bytes);
  // The living allocations of a context.
  std::vector<Allocation *> of(void *owner);

 private:
  u64 first_, next_, end_, total_, used_ = 0;
  u8 *bytes_;
  int ids_ = 0, count_ = 0;
  std::map<u64, std::unique_ptr<Allocation>> all_;
};

}  // namespace sim
