// Errors of the simulated device, and where its messages go.
#pragma once
#include <cuda.h>
// CUDA 13's header renames these; the library exports the old names too.
#undef cuCtxCreate
#undef cuDeviceGetUuid
#undef cuEventElapsedTime

#include <stdexcept>
#include <string>

namespace sim {

// A failed call, or a fault of a kernel: what the driver would answer, and what it would not say.
struct Fault : std::runtime_error {
  CUresult code;
  Fault(CUresult c, const std::string &what) : std::runtime_error(what), code(c) {}
};

// printf into a string.
std::string format(const char *f, ...) __attribute__((format(printf, 1, 2)));

// Writes a line to standard error, after "simulator: ".
void say(const std::string &line);

// Whether an error leaves the context unusable: every later call then returns it.
bool sticky(CUresult r);

const char *error_name(CUresult r);   // "CUDA_ERROR_ILLEGAL_ADDRESS"
const char *error_string(CUresult r); // a sentence

}  // namespace sim
