// A warp as it runs, and the checks that memory accesses need.
#pragma once
#include "program.h"

namespace sim {

struct Dim { u32 x = 1, y = 1, z = 1; };

// Lanes that run together: those of mask continue at pc.
struct Fragment {
  int pc;
  u32 mask;
  bool waiting; // at a barrier or for named lanes
};

// The last accesses to a word of shared memory. An epoch ends with each barrier.
struct Shadow {
  u32 write_epoch = 0, read_epoch = 0;
  u16 writer = 0, reader = 0; // warps; 0xffff: several
};

struct Block {
  Dim index;
  u32 serial;  // over all launches
  u32 first_serial; // of the launch
  std::vector<u8> shared;
  std::vector<Shadow> shadow;
  u32 epoch = 1;
};

struct Warp {
  u8 *registers;
  u32 *predicates;
  u8 *local; // 32 × local_bytes
  Block *block;
  const Kernel *kernel;
  Heap *heap;
  bool races;
  u16 number;
  u32 live;
  std::vector<Fragment> fragments;
  int barrier = -1; // the instruction it waits at
  bool done = false;
};

#define LANES for (int l = 0; l < 32; l++)

template <class T>
inline T *lanes(Warp &w, u32 offset) { return (T *)(w.registers + offset); }

// Ends the launch with a fault at an instruction.
[[noreturn]] void fail(Warp &w, const Instruction &i, CUresult code, const std::string &what);

}  // namespace sim
