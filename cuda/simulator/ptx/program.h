// PTX as the interpreter runs it. A module is parsed once into instructions whose operands are offsets into a warp's register
// file: every register is an array of 32 lanes of 4 or 8 bytes, every predicate a mask of 32 bits.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "../core/heap.h"

namespace sim {

struct Warp;
struct Instruction;

// Executes an instruction for the lanes of mask.
typedef void (*Execute)(Warp &, const Instruction &, u32 mask);

enum class Kind : u8 { Plain, Branch, Return, Barrier, Converge }; // Converge: named lanes must come together (shfl.sync, vote)
enum class Space : u8 { Global, Shared, Local, Generic };

// Generic addresses of shared and local memory lie in windows that no other address comes into.
constexpr u64 shared_window = 0x0100000000000000ull, local_window = 0x0200000000000000ull;

struct Instruction {
  Execute run = nullptr;
  u32 d = 0, a = 0, b = 0, c = 0, e = 0; // operands: register offsets, or numbers of predicates
  u32 pair = 0;                          // a second destination + 1: the predicate of shfl and setp
  u32 vector[4] = {};
  u8 width = 1;       // of a vector access
  bool wide = false;  // the address is of 8 bytes
  bool strong = false; // volatile or atomic: no data race
  bool negated = false;
  int guard = -1;     // predicate
  Kind kind = Kind::Plain;
  Space space = Space::Global;
  s64 offset = 0;     // of an address; an immediate
  int target = -1;    // of a branch
  int line = 0;       // of the PTX
  int source = 0, file = 0; // from .loc
  mutable Allocation *hint = nullptr; // where this instruction's last access went
};

struct Parameter { u32 offset, size; };

// A value that registers hold before the first instruction.
struct Preset {
  enum What : u8 { Constant, Special, Param } what;
  u32 slot;
  u8 bytes;   // of a lane; 0: slot is a predicate
  u64 value;  // constant; number of the special register; offset of the parameter
  u8 read = 0;        // bytes of the parameter, at most those of a lane
  bool extend = false; // the parameter's sign
};

struct Kernel {
  std::string name;
  std::vector<Instruction> code;
  std::vector<Parameter> params;
  std::vector<Preset> presets;
  u32 param_bytes = 0, register_bytes = 128, predicates = 0, shared_bytes = 0, local_bytes = 0;
  u32 max_threads = 1024;
  std::vector<std::string> *files = nullptr;
};

// The special registers, in the order of Preset::value.
extern const char *const special_registers[];
constexpr int special_count = 16;

struct Module {
  std::map<std::string, Kernel> kernels;
  std::vector<std::string> files; // by number
  struct Global { u64 address, size; };
  std::map<std::string, Global> globals;
};

// Parses PTX. What is not implemented, and what is wrong, is a Fault (CUDA_ERROR_INVALID_PTX) that names it and its line.
// Module-scope variables are allocated for owner.
void parse(const std::string &ptx, Module &module, Heap &heap, void *owner);

// An opcode with all its modifiers: what runs it, and the kinds of its operands, destination first:
//   4, 8  registers of 4 and 8 bytes (4: 16 bits too)     p  predicate
//   M     memory access: shape is the type of a lane
struct Operation {
  Execute run;
  std::string operands;
};
const Operation *find_operation(const std::string &opcode);

// Loads, stores, atomics and reductions, with registers of 8 bytes where wide. Throws a std::string, the reason, if there is none.
struct Access { Execute run; Space space; bool strong, load, store, atomic, compare; char lane; };
Access find_access(const std::string &opcode, bool wide);

}  // namespace sim
