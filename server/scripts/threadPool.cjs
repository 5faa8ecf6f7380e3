// Loaded before anything else (`node --require`): Node fixes the number of its worker threads when the first is needed,
// which is while it loads the program. Video is encoded on them, one frame at a time each, and every batch that is drawn
// waits on one: Node's own default of four would leave most of a large machine's cores without encoders.
const { availableParallelism } = require('node:os');

const devices = (process.env.FACEWIRE_DEVICE ?? '').split(',').length;
process.env.UV_THREADPOOL_SIZE ??= String(Math.max(4, availableParallelism() + 2 * devices));
