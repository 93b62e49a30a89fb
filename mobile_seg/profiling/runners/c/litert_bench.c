/* Times one TFLite model through the LiteRT C API and writes the result as JSON.
 *
 * Build, on the machine it runs on:         cc -std=c11 -O2 -o litert_bench litert_bench.c -ldl
 * For a 64-bit Arm Linux board, elsewhere:  python -m ziglang cc -target aarch64-linux-gnu.2.31 \
 *                                               -std=c11 -O2 -o litert_bench litert_bench.c -ldl
 *
 * The library (libLiteRt.so) is opened at run time, so nothing of LiteRT is needed to build. Inputs are
 * pseudo-random numbers from a fixed seed: the same on every machine, so that outputs can be compared.
 * The result is described in mobile_seg/profiling/runners/result.py. A failure is one line on standard
 * error and exit code 1; a wrong call is exit code 2.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void *Handle;
typedef int Status;

/* The functions used, with their types from LiteRT's litert/c headers. */
#define FUNCTIONS(F) \
  F(LiteRtCreateEnvironment, (int, const void *, Handle *)) \
  F(LiteRtCreateModelFromFile, (Handle, const char *, Handle *)) \
  F(LiteRtGetModelSignature, (Handle, size_t, Handle *)) \
  F(LiteRtGetNumSignatureInputs, (Handle, size_t *)) \
  F(LiteRtGetNumSignatureOutputs, (Handle, size_t *)) \
  F(LiteRtGetSignatureInputTensorByIndex, (Handle, size_t, Handle *)) \
  F(LiteRtGetSignatureOutputTensorByIndex, (Handle, size_t, Handle *)) \
  F(LiteRtGetRankedTensorType, (Handle, void *)) \
  F(LiteRtCreateOptions, (Handle *)) \
  F(LiteRtSetOptionsHardwareAccelerators, (Handle, int)) \
  F(LiteRtCreateOpaqueOptions, (const char *, void *, void (*)(void *), Handle *)) \
  F(LiteRtAddOpaqueOptions, (Handle, Handle)) \
  F(LiteRtCreateCompiledModel, (Handle, Handle, Handle, Handle *)) \
  F(LiteRtGetCompiledModelInputBufferRequirements, (Handle, size_t, size_t, Handle *)) \
  F(LiteRtGetCompiledModelOutputBufferRequirements, (Handle, size_t, size_t, Handle *)) \
  F(LiteRtCreateManagedTensorBufferFromRequirements, (Handle, const void *, Handle, Handle *)) \
  F(LiteRtGetTensorBufferSize, (Handle, size_t *)) \
  F(LiteRtLockTensorBuffer, (Handle, void **, int)) \
  F(LiteRtUnlockTensorBuffer, (Handle)) \
  F(LiteRtRunCompiledModel, (Handle, size_t, size_t, Handle *, size_t, Handle *)) \
  F(LiteRtCompiledModelGetProfiler, (Handle, Handle *)) \
  F(LiteRtStartProfiler, (Handle)) \
  F(LiteRtStopProfiler, (Handle)) \
  F(LiteRtGetNumProfilerEvents, (Handle, int *)) \
  F(LiteRtGetProfilerEvents, (Handle, int, void *))
#define DECLARE(name, arguments) static Status(*name) arguments;
FUNCTIONS(DECLARE)

enum { CPU = 1, GPU = 2 };                        /* LiteRtHwAccelerators */
enum { LOCK_READ = 0, LOCK_WRITE = 1 };           /* LiteRtTensorBufferLockMode */
enum { OPERATOR = 2, IN_DELEGATE = 4, DELEGATE_OPERATOR = 8 }; /* tflite::Profiler::EventType */
enum { FLOAT32 = 1, FLOAT16 = 10, FLOAT64 = 11 }; /* LiteRtElementType */
enum { MOST_TENSORS = 64, TYPE_WORDS = 64 };

/* ProfiledEventData of LiteRT 2.3 (its memory readings are three numbers each). */
typedef struct {
  const char *tag;
  int32_t type;
  uint64_t start_us, elapsed_us;
  uint64_t memory[6];
  uint64_t node, other;
  int32_t source;
} Event;

typedef struct {
  const char *library, *model, *delegate, *output, *tensors;
  int threads, warmup, runs, profile;
  unsigned flags;
} Call;

typedef struct {
  Handle environment, model, signature, compiled;
  size_t inputs, outputs;
  Handle input[MOST_TENSORS], output[MOST_TENSORS];
} Session;

static _Noreturn void fail(const char *what, const char *detail) {
  fprintf(stderr, "%s: %s\n", what, detail);
  exit(1);
}

static void check(Status status, const char *what) {
  if (status == 0) return;
  char code[48];
  snprintf(code, sizeof code, "LiteRT status %d", status);
  fail(what, code);
}

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* The high-water mark of resident memory, in bytes. */
static long long peak_bytes(void) {
  FILE *file = fopen("/proc/self/status", "r");
  if (!file) fail("/proc/self/status", "cannot be read, so peak memory cannot be measured");
  char line[256];
  long long kilobytes = -1;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "VmHWM: %lld", &kilobytes) == 1) break;
  fclose(file);
  if (kilobytes < 0) fail("/proc/self/status", "has no VmHWM, so peak memory cannot be measured");
  return kilobytes * 1024;
}

static void add_options(Handle options, const char *identifier, const char *text) {
  Handle opaque;
  check(LiteRtCreateOpaqueOptions(identifier, strdup(text), free, &opaque), identifier);
  check(LiteRtAddOpaqueOptions(options, opaque), identifier);
}

/* Options as TOML text, which is what LiteRT's own wrappers send; no public promise, hence the pinned version. */
static Handle options_of(const Call *call, bool profiling) {
  Handle options;
  check(LiteRtCreateOptions(&options), "options");
  /* The GPU alone: with the CPU beside it, a GPU that is not there would go unnoticed. */
  check(LiteRtSetOptionsHardwareAccelerators(options, strcmp(call->delegate, "gpu") ? CPU : GPU), "accelerators");
  if (profiling) add_options(options, "runtime_options_string", "enable_profiling = true\n");
  char text[160];
  int used = snprintf(text, sizeof text, "num_threads = %d\n", call->threads);
  if (call->flags) used += snprintf(text + used, sizeof text - used, "flags = %u\n", call->flags);
  if (strcmp(call->delegate, "none") == 0) snprintf(text + used, sizeof text - used, "kernel_mode = \"builtin\"\n");
  add_options(options, "xnnpack", text);
  return options;
}

static void fill(Handle buffer, int element, uint32_t *seed) {
  size_t size;
  void *data;
  check(LiteRtGetTensorBufferSize(buffer, &size), "input size");
  check(LiteRtLockTensorBuffer(buffer, &data, LOCK_WRITE), "input");
  bool whole = element == FLOAT32;
  for (size_t i = 0; i < (whole ? size / 4 : size); i++) {
    *seed = *seed * 1664525u + 1013904223u;
    if (whole) ((float *)data)[i] = (*seed >> 8) / 16777216.f;
    else ((uint8_t *)data)[i] = (uint8_t)(*seed >> 24);
  }
  check(LiteRtUnlockTensorBuffer(buffer), "input");
}

static void open_session(Session *session, const Call *call, bool profiling) {
  check(LiteRtCreateModelFromFile(session->environment, call->model, &session->model), call->model);
  check(LiteRtGetModelSignature(session->model, 0, &session->signature), "signature");
  check(LiteRtGetNumSignatureInputs(session->signature, &session->inputs), "inputs");
  check(LiteRtGetNumSignatureOutputs(session->signature, &session->outputs), "outputs");
  if (session->inputs > MOST_TENSORS || session->outputs > MOST_TENSORS) fail(call->model, "has too many tensors");
  if (LiteRtCreateCompiledModel(session->environment, session->model, options_of(call, profiling), &session->compiled))
    fail(call->delegate, "LiteRT cannot compile the model for it; its library is missing, or it refuses the graph");
  uint64_t type[TYPE_WORDS];
  uint32_t seed = 1;
  Handle tensor, needs;
  for (size_t i = 0; i < session->inputs; i++) {
    check(LiteRtGetSignatureInputTensorByIndex(session->signature, i, &tensor), "input");
    check(LiteRtGetRankedTensorType(tensor, type), "input type");
    int32_t element;
    memcpy(&element, type, sizeof element);
    if (element == FLOAT16 || element == FLOAT64) fail(call->model, "has a float16 or float64 input");
    check(LiteRtGetCompiledModelInputBufferRequirements(session->compiled, 0, i, &needs), "input buffer");
    check(LiteRtCreateManagedTensorBufferFromRequirements(session->environment, type, needs, &session->input[i]),
          "input buffer");
    fill(session->input[i], element, &seed);
  }
  for (size_t i = 0; i < session->outputs; i++) {
    check(LiteRtGetSignatureOutputTensorByIndex(session->signature, i, &tensor), "output");
    check(LiteRtGetRankedTensorType(tensor, type), "output type");
    check(LiteRtGetCompiledModelOutputBufferRequirements(session->compiled, 0, i, &needs), "output buffer");
    check(LiteRtCreateManagedTensorBufferFromRequirements(session->environment, type, needs, &session->output[i]),
          "output buffer");
  }
}

/* One inference with synchronous inputs and outputs, in milliseconds. */
static double run(Session *session) {
  double start = now_ms();
  check(LiteRtRunCompiledModel(session->compiled, 0, session->inputs, session->input, session->outputs,
                               session->output),
        "inference");
  return now_ms() - start;
}

static void write_tensors(Session *session, const char *folder) {
  for (size_t i = 0; i < session->outputs; i++) {
    char path[4096];
    size_t size;
    void *data;
    snprintf(path, sizeof path, "%s/output_%zu.bin", folder, i);
    check(LiteRtGetTensorBufferSize(session->output[i], &size), "output size");
    check(LiteRtLockTensorBuffer(session->output[i], &data, LOCK_READ), "output");
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) fail(path, "cannot be written");
    check(LiteRtUnlockTensorBuffer(session->output[i]), "output");
  }
}

static void write_text(FILE *to, const char *text) {
  fputc('"', to);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') fputc('\\', to);
    if ((unsigned char)*text >= ' ') fputc(*text, to);
  }
  fputc('"', to);
}

/* What each operation took in `call->profile` further runs, which a profiler slows: never mixed with the times.
 * Operations of the graph that no delegate took come with `inner` false, those inside a delegate with true. */
static void write_operations(FILE *to, const Call *call, Handle environment) {
  Session session = {.environment = environment};
  Handle profiler;
  open_session(&session, call, true);
  run(&session);
  check(LiteRtCompiledModelGetProfiler(session.compiled, &profiler), "profiler");
  check(LiteRtStartProfiler(profiler), "profiler");
  for (int i = 0; i < call->profile; i++) run(&session);
  check(LiteRtStopProfiler(profiler), "profiler");
  int count = 0;
  check(LiteRtGetNumProfilerEvents(profiler, &count), "profiler events");
  if (count < 1) fail("profiler", "it recorded nothing");
  Event *events = calloc(count, sizeof *events);
  check(LiteRtGetProfilerEvents(profiler, count, events), "profiler events");
  int delegated = 0, left = 0;
  fprintf(to, "  \"operations\": [");
  for (int i = 0, first = 1; i < count; i++) {
    Event *event = &events[i];
    if (event->type != OPERATOR && event->type != IN_DELEGATE && event->type != DELEGATE_OPERATOR) continue;
    bool inner = event->type != OPERATOR;
    if (inner) delegated++;
    else left++;
    fprintf(to, "%s\n    {\"name\": ", first ? "" : ",");
    write_text(to, event->tag);
    fprintf(to, ", \"inner\": %s, \"node\": %llu, \"us\": %llu}", inner ? "true" : "false",
            (unsigned long long)event->node, (unsigned long long)event->elapsed_us);
    first = 0;
  }
  fprintf(to, "\n  ],\n  \"profiled_runs\": %d,\n  \"delegated\": %d,\n  \"left\": %d\n", call->profile,
          delegated / call->profile, left / call->profile);
}

static void measure(const Call *call, FILE *to) {
  Session session = {0};
  check(LiteRtCreateEnvironment(0, NULL, &session.environment), "environment");
  long long before = peak_bytes();
  double start = now_ms();
  open_session(&session, call, false);
  double init = now_ms() - start, first = run(&session);
  if (call->tensors) write_tensors(&session, call->tensors);
  for (int i = 0; i < call->warmup; i++) run(&session);
  double *samples = calloc(call->runs, sizeof *samples);
  for (int i = 0; i < call->runs; i++) samples[i] = run(&session);
  long long after = peak_bytes();
  fprintf(to, "{\n  \"schema\": \"mobile-seg.run/1\",\n  \"init_ms\": %.4f,\n  \"first_run_ms\": %.4f,\n", init, first);
  fprintf(to, "  \"peak_memory_bytes\": %lld,\n  \"samples_ms\": [", after - before);
  for (int i = 0; i < call->runs; i++) fprintf(to, "%s%.4f", i ? ", " : "", samples[i]);
  fprintf(to, "],\n");
  write_operations(to, call, session.environment);
  fprintf(to, "}\n");
}

static void load(const char *library) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
  if (!handle) fail("library", dlerror());
#define FIND(name, arguments) \
  if (!(*(void **)&name = dlsym(handle, #name))) fail(#name, "the library lacks it; use LiteRT 2.3");
  FUNCTIONS(FIND)
}

static const char *USAGE =
    "usage: litert_bench --library libLiteRt.so --model FILE [--delegate xnnpack|gpu|none] [--threads N]\n"
    "         [--warmup N] [--runs N] [--profile N] [--xnnpack-flags N] [--tensors DIR] [--output FILE]\n";

static int number(const char *text, int low) {
  char *end;
  long value = strtol(text, &end, 0);
  if (*text && !*end && value >= low && value < 1000000) return (int)value;
  fprintf(stderr, "%s is no number of %d or more\n%s", text, low, USAGE);
  exit(2);
}

static Call parse(int count, char **words) {
  Call call = {.delegate = "xnnpack", .threads = 1, .warmup = 5, .runs = 30, .profile = 1};
  for (int i = 1; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--library")) call.library = value;
    else if (!strcmp(name, "--model")) call.model = value;
    else if (!strcmp(name, "--delegate")) call.delegate = value;
    else if (!strcmp(name, "--output")) call.output = value;
    else if (!strcmp(name, "--tensors")) call.tensors = value;
    else if (!strcmp(name, "--threads")) call.threads = number(value, 1);
    else if (!strcmp(name, "--warmup")) call.warmup = number(value, 0);
    else if (!strcmp(name, "--runs")) call.runs = number(value, 1);
    else if (!strcmp(name, "--profile")) call.profile = number(value, 1);
    else if (!strcmp(name, "--xnnpack-flags")) call.flags = (unsigned)number(value, 0);
    else call.model = NULL, i = count;
  }
  bool known = !strcmp(call.delegate, "xnnpack") || !strcmp(call.delegate, "gpu") || !strcmp(call.delegate, "none");
  if (call.library && call.model && known && count % 2) return call;
  fputs(USAGE, stderr);
  exit(2);
}

int main(int count, char **words) {
  Call call = parse(count, words);
  load(call.library);
  if (!call.output) {
    measure(&call, stdout);
    return 0;
  }
  char partial[4096];
  snprintf(partial, sizeof partial, "%s.partial", call.output);
  FILE *file = fopen(partial, "w");
  if (!file) fail(partial, "cannot be written");
  measure(&call, file);
  if (fclose(file) || rename(partial, call.output)) fail(call.output, "cannot be written");
  return 0;
}
