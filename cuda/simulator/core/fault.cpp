#include "fault.h"

#include <cstdarg>
#include <cstdio>

namespace sim {

std::string format(const char *f, ...) {
  char buffer[1024];
  va_list a;
  va_start(a, f);
  vsnprintf(buffer, sizeof buffer, f, a);
  va_end(a);
  return buffer;
}

void say(const std::string &line) { fprintf(stderr, "simulator: %s\n", line.c_str()); }

bool sticky(CUresult r) {
  switch (r) {
  case CUDA_ERROR_ILLEGAL_ADDRESS:
  case CUDA_ERROR_MISALIGNED_ADDRESS:
  case CUDA_ERROR_INVALID_ADDRESS_SPACE:
  case CUDA_ERROR_INVALID_PC:
  case CUDA_ERROR_ILLEGAL_INSTRUCTION:
  case CUDA_ERROR_LAUNCH_FAILED:
  case CUDA_ERROR_LAUNCH_TIMEOUT:
  case CUDA_ERROR_ASSERT:
  case CUDA_ERROR_HARDWARE_STACK_ERROR:
  case CUDA_ERROR_ECC_UNCORRECTABLE:
  case CUDA_ERROR_UNKNOWN: return true;
  default: return false;
  }
}

struct Text { CUresult code; const char *name, *sentence; };

static const Text texts[] = {
#define T(name, sentence) {name, #name, sentence},
    T(CUDA_SUCCESS, "no error")
    T(CUDA_ERROR_INVALID_VALUE, "invalid argument")
    T(CUDA_ERROR_OUT_OF_MEMORY, "out of memory")
    T(CUDA_ERROR_NOT_INITIALIZED, "initialization error")
    T(CUDA_ERROR_DEINITIALIZED, "driver shutting down")
    T(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected")
    T(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal")
    T(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid")
    T(CUDA_ERROR_INVALID_CONTEXT, "invalid device context")
    T(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered")
    T(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed")
    T(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain.")
    T(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle")
    T(CUDA_ERROR_NOT_FOUND, "named symbol not found")
    T(CUDA_ERROR_NOT_READY, "device not ready")
    T(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered")
    T(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch")
    T(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated")
    T(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed")
    T(CUDA_ERROR_ASSERT, "device-side assert triggered")
    T(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error")
    T(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered")
    T(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address")
    T(CUDA_ERROR_INVALID_ADDRESS_SPACE, "operation not supported on global/shared address space")
    T(CUDA_ERROR_INVALID_PC, "invalid program counter")
    T(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure")
    T(CUDA_ERROR_NOT_PERMITTED, "operation not permitted")
    T(CUDA_ERROR_NOT_SUPPORTED, "operation not supported")
    T(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing")
    T(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture")
    T(CUDA_ERROR_STREAM_CAPTURE_MERGE, "operation would result in a merge of separate capture sequences")
    T(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not ended in the same stream as it began")
    T(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work")
    T(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream")
    T(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "operation would make the legacy stream depend on a capturing blocking stream")
    T(CUDA_ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream")
    T(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "attempt to terminate a thread-local capture sequence from another thread")
    T(CUDA_ERROR_UNKNOWN, "unknown error")
#undef T
};

const char *error_name(CUresult r) {
  for (const Text &t : texts) if (t.code == r) return t.name;
  return nullptr;
}

const char *error_string(CUresult r) {
  for (const Text &t : texts) if (t.code == r) return t.sentence;
  return nullptr;
}

}  // namespace sim
