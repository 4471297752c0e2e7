/* nvrtc LIBRARY SOURCE OUTPUT [OPTION...]: compiles one .cu file to PTX with the NVRTC library given.
   NVRTC needs no GPU. Its log goes to standard error; the exit status is 1 when it refuses the source. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef void *program;
static void *library;

static void *symbol(const char *name) {
  void *p = dlsym(library, name);
  if (!p) { fprintf(stderr, "nvrtc: %s\n", dlerror()); exit(1); }
  return p;
}

static void check(int status, const char *call) {
  if (status) { fprintf(stderr, "nvrtc: %s: error %d\n", call, status); exit(1); }
}

static char *read_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) { perror(path); exit(1); }
  fseek(f, 0, SEEK_END);
  long n = ftell(f);
  rewind(f);
  char *s = malloc((size_t)n + 1);
  if (!s || fread(s, 1, (size_t)n, f) != (size_t)n) { perror(path); exit(1); }
  s[n] = 0;
  fclose(f);
  return s;
}

int main(int argc, char **argv) {
  if (argc < 4) { fprintf(stderr, "usage: nvrtc LIBRARY SOURCE OUTPUT [OPTION...]\n"); return 2; }
  library = dlopen(argv[1], RTLD_NOW);
  if (!library) { fprintf(stderr, "nvrtc: %s\n", dlerror()); return 1; }
  int (*create)(program *, const char *, const char *, int, const char **, const char **) = symbol("nvrtcCreateProgram");
  int (*compile)(program, int, const char **) = symbol("nvrtcCompileProgram");
  int (*log_size)(program, size_t *) = symbol("nvrtcGetProgramLogSize");
  int (*get_log)(program, char *) = symbol("nvrtcGetProgramLog");
  int (*ptx_size)(program, size_t *) = symbol("nvrtcGetPTXSize");
  int (*get_ptx)(program, char *) = symbol("nvrtcGetPTX");

  /* The name given to the program is the file's own name, so that the PTX does not depend on where it lies. */
  const char *name = argv[2];
  for (const char *c = argv[2]; *c; c++) if (*c == '/') name = c + 1;
  program p;
  check(create(&p, read_file(argv[2]), name, 0, NULL, NULL), "nvrtcCreateProgram");
  int status = compile(p, argc - 4, (const char **)argv + 4);
  size_t n = 0;
  check(log_size(p, &n), "nvrtcGetProgramLogSize");
  char *text = malloc(n + 1);
  check(get_log(p, text), "nvrtcGetProgramLog");
  if (n > 1) fprintf(stderr, "%s\n", text);
  check(status, "nvrtcCompileProgram");
  check(ptx_size(p, &n), "nvrtcGetPTXSize");
  text = realloc(text, n);
  check(get_ptx(p, text), "nvrtcGetPTX");
  FILE *f = fopen(argv[3], "wb");
  /* n counts the terminating NUL, which ptxas 13 refuses */
  if (!f || fwrite(text, 1, n - 1, f) != n - 1 || fclose(f)) { perror(argv[3]); return 1; }
  return 0;
}
