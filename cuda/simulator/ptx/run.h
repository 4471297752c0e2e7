// Running kernels.
#pragma once
#include "warp.h"

namespace sim {

// A launch whose arguments have been copied.
struct LaunchPlan {
  const Kernel *kernel;
  Dim grid, block;
  u32 dynamic_shared;
  std::vector<u8> arguments; // kernel->param_bytes
};

// Checks a launch's configuration: CUDA_ERROR_INVALID_VALUE or CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES.
void check_launch(const LaunchPlan &);

// Runs it to the end, block by block; a fault ends it. Blocks and warps take the order of GCNN_SIM_ORDER.
void run(const LaunchPlan &, Heap &);

}  // namespace sim
