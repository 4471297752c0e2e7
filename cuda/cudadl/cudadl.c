//go:build cuda

/* See doc.go. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include "cudadl.h"

static int none_CU(void) { return 3; }      /* CUDA_ERROR_NOT_INITIALIZED */
static int none_DNN(void) { return 1001; }  /* CUDNN_STATUS_NOT_INITIALIZED */
static int none_BLAS(void) { return 1; }    /* CUBLAS_STATUS_NOT_INITIALIZED */

/* gorgonia.org/cu's init calls cuInit and ends the process if it fails: this one never does. */
__attribute__((visibility("hidden"))) int cuInit(unsigned flags) { (void)flags; return 0; }

#if defined(__x86_64__)
#define JUMP(f) "jmp *cudadl_p_" #f "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(f) "adrp x16, cudadl_p_" #f "\nldr x16, [x16, :lo12:cudadl_p_" #f "]\nbr x16\n"
#else
#error "cudadl: amd64 and arm64 only"
#endif
/* hidden: the libraries themselves must never bind to these names */
#define R(lib, f) \
  __attribute__((visibility("hidden"))) void *cudadl_p_##f = (void *)none_##lib; \
  __asm__(".text\n.globl " #f "\n.hidden " #f "\n.type " #f ",%function\n" #f ":\n" JUMP(f) ".size " #f ",.-" #f "\n");
#define X R
#include "symbols.h"
#undef X
#undef R

static const struct { int lib, required; const char *name; void **slot; } table[] = {
#define R(l, f) {CUDADL_##l, 1, #f, &cudadl_p_##f},
#define X(l, f) {CUDADL_##l, 0, #f, &cudadl_p_##f},
#include "symbols.h"
};

/* dlerror belongs to the thread, so it is asked in the same C call */
void *cudadl_open(const char *name, char **path, char **err) {
  void *h = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!h) {
    *err = strdup(dlerror());
    return h;
  }
  struct link_map *m;
  if (dlinfo(h, RTLD_DI_LINKMAP, &m) == 0 && m->l_name[0]) *path = strdup(m->l_name);
  return h;
}

int cudadl_bind(int lib, void *h, const char **missing) {
  int n = 0;
  for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
    if (table[i].lib != lib) continue;
    void *p = dlsym(h, table[i].name);
    if (p) *table[i].slot = p;
    else if (table[i].required && n++ == 0) *missing = table[i].name;
  }
  return n;
}

int cudadl_init(void *driver, int *version, const char **error) {
  int (*init)(unsigned) = (int (*)(unsigned))dlsym(driver, "cuInit");
  int (*get)(int *) = (int (*)(int *))dlsym(driver, "cuDriverGetVersion");
  int (*name)(int, const char **) = (int (*)(int, const char **))dlsym(driver, "cuGetErrorName");
  if (get) get(version);
  int r = init ? init(0) : 3;
  if (r && name) name(r, error);
  return r;
}
