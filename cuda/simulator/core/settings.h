// What the environment asks of the simulator, read once. README.md lists the variables.
#pragma once
#include <cuda.h>

#include <string>
#include <vector>

namespace sim {

enum class Order { Forward, Reverse, Shuffle };

// A call that shall fail: the n-th of its name returns code.
struct FailedCall {
  std::string name;
  int n, code;
};

struct Settings {
  unsigned long long memory; // bytes of the device
  int devices, driver, major, minor;
  bool no_device, races, lazy;
  bool pool_ties_last; // of equal maxima the last takes the gradient
  int fail_allocation, fail_launch, lose_device; // the n-th; 0 is never
  std::vector<FailedCall> failures;
  long delay_us; // queued work starts by itself after so long
  Order order;   // of blocks and warps
  std::string trace; // file that graphs are listed in
};

const Settings &settings();

// The code that a call shall fail with, counting this one; 0 if it shall not.
int injected(const char *call);

}  // namespace sim
