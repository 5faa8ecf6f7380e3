// Loaded before anything else (`node --require`): Node fixes the number of its worker threads when the first is needed,
// which is while it loads the program. Video is encoded on them, one frame at a time each, and every batch that is drawn
// waits on one: two for each GPU, and on the CPU, which also stands in for GPUs that fail, one for each of its threads.
// Node's own default of four would leave most of a large machine's cores without encoders.
const { availableParallelism } = require('node:os');

const cores = availableParallelism();
const onGpus = 2 * (process.env.FACEWIRE_DEVICE ?? '').split(',').length;
// As config.ts has it, which refuses what is no number later.
const onCpu = Number(process.env.FACEWIRE_THREADS) || Math.min(8, cores);
process.env.UV_THREADPOOL_SIZE ??= String(Math.max(4, cores + Math.max(onGpus, onCpu)));
