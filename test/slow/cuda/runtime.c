/*
 * A double of CUDA's runtime library, for ONNX Runtime's real CUDA provider on a machine without a GPU. The device's memory
 * is the host's and copies are made; kernels compute nothing. Time is kept for each stream: a copy takes its bytes over
 * DOUBLE_BYTES_PER_US, a replayed graph DOUBLE_GRAPH_US, everything else none, and whoever waits for a stream sleeps until
 * then. While a capture in global mode goes on, what CUDA forbids then fails and breaks the capture.
 *
 * To DOUBLE_LOG goes one line each for calls ("call main|other NAME"), refused calls ("fail main|other NAME"), and what
 * streams do ("span STREAM copy|graph KIND BYTES FROM_US TO_US"; KIND is cudaMemcpyKind, 1 up, 2 down, 3 on the device).
 *
 * Functions that are not here do nothing and succeed (buildDouble.ts).
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS = 0, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };
enum { CAPTURE_GLOBAL = 0 };
enum { MAX_STREAMS = 4096, MAX_DEVICES = 8 };

typedef struct { unsigned x, y, z; } Dim3;
typedef struct Copy { void *target; const void *source; size_t bytes; struct Copy *next; } Copy;
typedef struct { Copy *copies; } Graph;
typedef struct { long busyUntilUs; } Event;
typedef struct { int id, device, capturing, mode, broken; long busyUntilUs; Graph *graph; } Stream;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Stream *streams[MAX_STREAMS], *legacy[MAX_DEVICES];
static int streamCount, globalCaptures;
static FILE *file;
static __thread int device, lastError;
static __thread struct { Dim3 grid, block; size_t shared; void *stream; } configuration;

static long setting(const char *name) { return atol(getenv(name)); }

static long nowUs(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000L + time.tv_nsec / 1000;
}

__attribute__((constructor)) static void openLog(void) {
  file = fopen(getenv("DOUBLE_LOG"), "a");
  setvbuf(file, NULL, _IOLBF, 0);
}

static void called(const char *what, const char *name) {
  fprintf(file, "%s %s %s\n", what, gettid() == getpid() ? "main" : "other", name);
}

static int fail(int error, const char *name) {
  called("fail", name);
  return lastError = error;
}

static Stream *newStream(void) {
  Stream *stream = calloc(1, sizeof *stream);
  stream->device = device;
  stream->id = streamCount;
  streams[streamCount++] = stream;
  return stream;
}

/* null is the device's legacy stream */
static Stream *streamOf(void *handle) {
  if (handle) return handle;
  pthread_mutex_lock(&lock);
  if (!legacy[device]) legacy[device] = newStream();
  pthread_mutex_unlock(&lock);
  return legacy[device];
}

static void spend(Stream *stream, long us, const char *what, int kind, size_t bytes) {
  pthread_mutex_lock(&lock);
  long fromUs = stream->busyUntilUs > nowUs() ? stream->busyUntilUs : nowUs();
  stream->busyUntilUs = fromUs + us;
  pthread_mutex_unlock(&lock);
  fprintf(file, "span %d %s %d %zu %ld %ld\n", stream->id, what, kind, bytes, fromUs, fromUs + us);
}

static void wait(const Stream *stream) {
  for (long us; (us = stream->busyUntilUs - nowUs()) > 0;) usleep(us);
}

/* What a capture in global mode forbids in every thread: it fails, and breaks the captures that go on. */
static int forbidden(const char *name) {
  called("call", name);
  pthread_mutex_lock(&lock);
  int captures = globalCaptures;
  for (int index = 0; captures && index < streamCount; index++) streams[index]->broken = 1;
  pthread_mutex_unlock(&lock);
  return captures ? fail(CAPTURE_UNSUPPORTED, name) : SUCCESS;
}

static int allocate(void **memory, size_t bytes, const char *name) {
  if (forbidden(name)) return CAPTURE_UNSUPPORTED;
  *memory = memalign(4096, bytes ? bytes : 1);
  memset(*memory, 0, bytes);
  return SUCCESS;
}

static int release(void *memory, const char *name) {
  if (memory && forbidden(name)) return CAPTURE_UNSUPPORTED;
  free(memory);
  return SUCCESS;
}

int cudaMalloc(void **memory, size_t bytes) { return allocate(memory, bytes, "cudaMalloc"); }
int cudaHostAlloc(void **memory, size_t bytes, unsigned flags) { return allocate(memory, bytes, "cudaHostAlloc"); }
int cudaMallocHost(void **memory, size_t bytes) { return allocate(memory, bytes, "cudaMallocHost"); }
int cudaFree(void *memory) { return release(memory, "cudaFree"); }
int cudaFreeHost(void *memory) { return release(memory, "cudaFreeHost"); }

int cudaMemcpy(void *target, const void *source, size_t bytes, int kind) {
  if (forbidden("cudaMemcpy")) return CAPTURE_UNSUPPORTED;
  Stream *stream = streamOf(NULL);
  spend(stream, bytes / setting("DOUBLE_BYTES_PER_US"), "copy", kind, bytes);
  wait(stream);
  memcpy(target, source, bytes);
  return SUCCESS;
}

int cudaMemcpyAsync(void *target, const void *source, size_t bytes, int kind, void *handle) {
  if (!handle && forbidden("cudaMemcpyAsync")) return CAPTURE_UNSUPPORTED;
  if (handle) called("call", "cudaMemcpyAsync");
  Stream *stream = streamOf(handle);
  if (stream->capturing) {
    Copy *copy = malloc(sizeof *copy);
    *copy = (Copy){target, source, bytes, stream->graph->copies};
    stream->graph->copies = copy;
    return SUCCESS;
  }
  memcpy(target, source, bytes);
  spend(stream, bytes / setting("DOUBLE_BYTES_PER_US"), "copy", kind, bytes);
  return SUCCESS;
}

int cudaStreamCreateWithFlags(void **handle, unsigned flags) {
  pthread_mutex_lock(&lock);
  *handle = newStream();
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}

int cudaStreamSynchronize(void *handle) {
  called("call", "cudaStreamSynchronize");
  Stream *stream = streamOf(handle);
  if (stream->capturing) {
    stream->broken = 1;
    return fail(CAPTURE_UNSUPPORTED, "cudaStreamSynchronize");
  }
  wait(stream);
  return SUCCESS;
}

int cudaDeviceSynchronize(void) {
  if (forbidden("cudaDeviceSynchronize")) return CAPTURE_UNSUPPORTED;
  for (int index = 0; index < streamCount; index++) {
    if (streams[index]->device == device) wait(streams[index]);
  }
  return SUCCESS;
}

int cudaStreamBeginCapture(void *handle, int mode) {
  Stream *stream = handle;
  called("call", mode == CAPTURE_GLOBAL ? "cudaStreamBeginCapture-global" : "cudaStreamBeginCapture");
  stream->graph = calloc(1, sizeof *stream->graph);
  pthread_mutex_lock(&lock);
  stream->capturing = 1;
  stream->mode = mode;
  stream->broken = 0;
  if (mode == CAPTURE_GLOBAL) globalCaptures++;
  pthread_mutex_unlock(&lock);
  /* A renderer of two thousand kernels takes a while to capture: time for others to do what they must not. */
  usleep(setting("DOUBLE_CAPTURE_US"));
  return SUCCESS;
}

int cudaStreamEndCapture(void *handle, void **graph) {
  Stream *stream = handle;
  pthread_mutex_lock(&lock);
  stream->capturing = 0;
  if (stream->mode == CAPTURE_GLOBAL) globalCaptures--;
  pthread_mutex_unlock(&lock);
  *graph = stream->broken ? NULL : stream->graph;
  return stream->broken ? fail(CAPTURE_INVALIDATED, "cudaStreamEndCapture") : SUCCESS;
}

int cudaStreamIsCapturing(void *handle, int *status) {
  *status = handle ? ((Stream *)handle)->capturing : 0;
  return SUCCESS;
}

int cudaGraphInstantiate(void **executable, void *graph, unsigned long long flags) {
  *executable = graph;
  return SUCCESS;
}

int cudaGraphLaunch(void *executable, void *handle) {
  called("call", "cudaGraphLaunch");
  for (Copy *copy = ((Graph *)executable)->copies; copy; copy = copy->next) memcpy(copy->target, copy->source, copy->bytes);
  spend(streamOf(handle), setting("DOUBLE_GRAPH_US"), "graph", 0, 0);
  return SUCCESS;
}

int cudaLaunchHostFunc(void *handle, void (*function)(void *), void *data) {
  function(data);
  return SUCCESS;
}

int cudaEventCreateWithFlags(void **event, unsigned flags) {
  *event = calloc(1, sizeof(Event));
  return SUCCESS;
}

int cudaEventCreate(void **event) { return cudaEventCreateWithFlags(event, 0); }

int cudaEventRecord(void *event, void *handle) {
  ((Event *)event)->busyUntilUs = streamOf(handle)->busyUntilUs;
  return SUCCESS;
}

int cudaStreamWaitEvent(void *handle, void *event, unsigned flags) {
  Stream *stream = streamOf(handle);
  long untilUs = ((Event *)event)->busyUntilUs;
  if (untilUs > stream->busyUntilUs) stream->busyUntilUs = untilUs;
  return SUCCESS;
}

int cudaEventSynchronize(void *event) {
  for (long us; (us = ((Event *)event)->busyUntilUs - nowUs()) > 0;) usleep(us);
  return SUCCESS;
}

int cudaGetDeviceCount(int *count) {
  *count = MAX_DEVICES;
  return SUCCESS;
}

int cudaSetDevice(int index) {
  device = index;
  return SUCCESS;
}

int cudaGetDevice(int *index) {
  *index = device;
  return SUCCESS;
}

/* The beginning of CUDA 13's cudaDeviceProp; the rest, up to its 1008 bytes, stays 0. */
int cudaGetDeviceProperties(void *properties, int index) {
  struct {
    char name[256], ids[24];
    unsigned mask;
    size_t memory, sharedPerBlock;
    int registers, warp;
    size_t pitch;
    int threadsPerBlock, block[3], grid[3];
    size_t constants;
    int major, minor;
    size_t alignment, pitchAlignment;
    int multiprocessors;
  } start = {.name = "double", .memory = 80ul << 30, .sharedPerBlock = 48 << 10, .registers = 65536, .warp = 32,
             .threadsPerBlock = 1024, .block = {1024, 1024, 64}, .grid = {2147483647, 65535, 65535}, .major = 9,
             .multiprocessors = 132};
  memset(properties, 0, 1008);
  memcpy(properties, &start, sizeof start);
  return SUCCESS;
}

/* Compute capability 9.0, and 1024 of whatever else is asked for. */
int cudaDeviceGetAttribute(int *value, int attribute, int index) {
  enum { MAJOR = 75, MINOR = 76 };
  *value = attribute == MAJOR ? 9 : attribute == MINOR ? 0 : 1024;
  return SUCCESS;
}

int cudaDriverGetVersion(int *version) {
  *version = 13000;
  return SUCCESS;
}

int cudaRuntimeGetVersion(int *version) { return cudaDriverGetVersion(version); }

int cudaMemGetInfo(size_t *available, size_t *total) {
  *available = 70ul << 30;
  *total = 80ul << 30;
  return SUCCESS;
}

int cudaGetLastError(void) {
  int error = lastError;
  lastError = SUCCESS;
  return error;
}

int cudaPeekAtLastError(void) { return lastError; }

const char *cudaGetErrorName(int error) {
  static __thread char text[32];
  snprintf(text, sizeof text, "cudaError %d", error);
  return text;
}

const char *cudaGetErrorString(int error) { return cudaGetErrorName(error); }

int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks) {
  *blocks = 2;
  return SUCCESS;
}

/* What a compiler makes of kernel<<<grid, block>>>(): kernels are known by their addresses. */
void **__cudaRegisterFatBinary(void *binary) {
  static void *handle;
  return &handle;
}

int __cudaGetKernel(void **kernel, const void *entry) {
  *kernel = (void *)entry;
  return SUCCESS;
}

unsigned __cudaPushCallConfiguration(Dim3 grid, Dim3 block, size_t shared, void *stream) {
  configuration.grid = grid;
  configuration.block = block;
  configuration.shared = shared;
  configuration.stream = stream;
  return SUCCESS;
}

int __cudaPopCallConfiguration(Dim3 *grid, Dim3 *block, size_t *shared, void **stream) {
  *grid = configuration.grid;
  *block = configuration.block;
  *shared = configuration.shared;
  *stream = configuration.stream;
  return SUCCESS;
}
