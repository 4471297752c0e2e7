enum { CUDADL_CU, CUDADL_DNN, CUDADL_BLAS };
/* Opens a library; *err, to be freed, says why not. *path, to be freed, is where it was found. */
void *cudadl_open(const char *name, char **path, char **err);
/* Points a library's functions at the one opened; returns how many required ones it lacks and names the first. */
int cudadl_bind(int lib, void *handle, const char **missing);
/* The driver's own cuInit, cuDriverGetVersion and cuGetErrorName. */
int cudadl_init(void *driver, int *version, const char **error);
