/* What a driver with FAKE_GPUS GPUs answers. The file FAKE_NVML_STATE holds a line "GPU PID BYTES" for
   each process that computes. Foreign to this package: NVML as nvml.h declares it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } process_t;

static unsigned count(void) { const char *n = getenv("FAKE_GPUS"); return n ? atoi(n) : 1; }

static unsigned running(size_t gpu, process_t *found, unsigned most, unsigned long long *bytes) {
  unsigned n = 0;
  const char *path = getenv("FAKE_NVML_STATE");
  FILE *file = path ? fopen(path, "r") : NULL;
  size_t on; unsigned pid; unsigned long long size;
  *bytes = 0;
  while (file && fscanf(file, "%zu %u %llu", &on, &pid, &size) == 3) {
    if (on != gpu) continue;
    if (n < most) { found[n].pid = pid; found[n].used = size; }
    *bytes += size;
    n++;
  }
  if (file) fclose(file);
  return n;
}

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "555.42"); return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = count(); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  if (index >= count()) return 2;
  *device = (void *)(size_t)(index + 1);
  return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
  if (!strncmp(uuid, "MIG-", 4)) { *device = (void *)(size_t)100; return 0; }
  return strncmp(uuid, "GPU-", 4) ? 2 : nvmlDeviceGetHandleByIndex_v2(atoi(uuid + 4), device);
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) { snprintf(text, size, "Fake GPU"); return 0; }
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) {
  if ((size_t)device == 100) snprintf(text, size, "MIG-7");
  else snprintf(text, size, "GPU-%zu-abcd", (size_t)device - 1);
  return 0;
}
int nvmlDeviceGetIndex(void *device, unsigned *index) { *index = (size_t)device - 1; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
  unsigned long long bytes;
  running((size_t)device - 1, NULL, 0, &bytes);
  memory->total = 8ULL << 30;
  memory->used = (1ULL << 30) + bytes;
  memory->free = memory->total - memory->used;
  return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
  unsigned long long bytes;
  running((size_t)device - 1, NULL, 0, &bytes);
  rates->gpu = bytes ? 80 : 0;
  return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *n, process_t *found) {
  unsigned long long bytes;
  unsigned there = running((size_t)device - 1, found, *n, &bytes);
  int short_of = there > *n;
  *n = there;
  return short_of ? 7 : 0;
}
