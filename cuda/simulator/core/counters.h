// Counters of calls, launches and living objects. They lie in a file where GCNN_SIM_STATS names a folder (PID.stats in it), so
// that they can be read while the process runs and after it was killed: records of 64 bytes, a name of 56 and a uint64.
#pragma once
#include <cstdint>

namespace sim {

struct Counter {
  char name[56];
  uint64_t value;
};

// The counter of a name, made at its first use.
Counter &counter(const char *name);

// Counts living objects of a kind, "live.…": what is left at exit has leaked.
inline void born(const char *kind) { counter(kind).value++; }
inline void died(const char *kind) { counter(kind).value--; }

// Writes the living objects to standard error; returns how many kinds there are.
int report_leaks(const char *when);

}  // namespace sim
