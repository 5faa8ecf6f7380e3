import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { synthesizeMotion } from '@facewire/proto';
import { type AvatarData, openEngine, type RenderWanted, readConfig } from '@facewire/server';
import { TARGET_OPTIONS, type Target, targetOf, wholeNumber, withDataDir } from './target.ts';

const GIBIBYTE = 2 ** 30;
/** A device in software compiles and draws for minutes. */
const PATIENCE_MS = 600_000;
const VIDEO: RenderWanted = { i420: true, rgb: false };

/**
 * The avatar bank: avatars per GiB, what it costs to bring one in (from its file, its hash checked) with a slot free and
 * with another to be evicted first, and whether loading makes those wait who are drawn meanwhile.
 *
 * The avatars are one encoded portrait under many ids: every load reads that avatar's file again, by then out of the
 * system's cache, and copies its tensors into a slot.
 */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({
    args,
    options: {
      ...TARGET_OPTIONS,
      /** renders timed for the comparison of a quiet bank with one that loads; 0: none */
      runs: { type: 'string', default: '60' },
      avatars: { type: 'string', default: '300' },
      slots: { type: 'string', default: '100' },
    },
  });
  const [avatars, slots] = [wholeNumber('avatars', values.avatars), wholeNumber('slots', values.slots)];
  const runs = wholeNumber('runs', values.runs, 0);
  if (!(avatars > slots))
    throw new RangeError(`--avatars ${avatars} must exceed --slots ${slots}: nothing would be evicted`);
  return withDataDir('bank', (data) => measureBank(targetOf(values), data, { avatars, slots, runs }));
}

async function measureBank(
  target: Target,
  dataDir: string,
  { avatars, slots, runs }: { avatars: number; slots: number; runs: number },
): Promise<object> {
  const config = readConfig({
    ...process.env,
    FACEWIRE_DATA: dataDir,
    FACEWIRE_BANK_SLOTS: String(slots),
    ...target.env,
  });
  /** the avatar that all ids stand for; before it is known (the device proves its precision) each is its own */
  let source = '';
  const engine = await openEngine(config, {
    renderTimeoutMs: PATIENCE_MS,
    // A calibration has the device to itself, and loads would be timed with their wait for it.
    calibrate: false,
    loadAvatar: async (store, id): Promise<AvatarData> => ({ ...(await store.load(source || id)), id }),
  });
  try {
    const { renderer } = engine;
    source = engine.avatars.list()[0]!.id;
    const { tensors } = await engine.avatars.load(source);
    const avatarBytes = [...tensors.values()].reduce((sum, tensor) => sum + tensor.data.byteLength, 0);
    const ids = Array.from({ length: avatars }, (_, index) => `copy-${index}`);
    const timeAcquire = async (id: string) => {
      const startedAtMs = performance.now();
      await renderer.bank.ensure([id]);
      return performance.now() - startedAtMs;
    };
    const loads: number[] = [];
    const evictions: number[] = [];
    const residentBefore = process.memoryUsage.rss();
    for (const [index, id] of ids.entries()) (index < slots ? loads : evictions).push(await timeAcquire(id));
    const residentBytes = process.memoryUsage.rss() - residentBefore;
    const hits: number[] = [];
    for (const id of ids.slice(-slots)) hits.push(await timeAcquire(id));

    const size = renderer.sizes[0]!;
    const drawn = ids.at(-1)!;
    const timeRenders = async () => {
      const times: number[] = [];
      for (let index = 0; index < runs; index++) {
        const motion = synthesizeMotion(index / 30, 1);
        const startedAtMs = performance.now();
        await renderer.render([{ avatar: drawn, size, view: { yaw: 0, pitch: 0 }, motion }], VIDEO);
        times.push(performance.now() - startedAtMs);
      }
      return times;
    };
    const timeWhileLoading = async () => {
      let loading = true;
      let loadedMeanwhile = 0;
      const churn = (async () => {
        for (let index = 0; loading; index++, loadedMeanwhile++) await timeAcquire(`churn-${index % avatars}`);
      })();
      const times = await timeRenders();
      loading = false;
      await churn;
      return { whileLoading: summary(times), loadedMeanwhile };
    };
    // The first round warms up.
    if (runs > 0) await timeRenders();
    const renderMs =
      runs > 0 ? { size, quiet: summary(await timeRenders()), ...(await timeWhileLoading()) } : undefined;

    const { counters } = renderer;
    return {
      bench: 'bank',
      model: renderer.model,
      device: renderer.device,
      avatars,
      slots: renderer.bank.slots,
      avatarBytes,
      avatarsPerGiB: Math.floor(GIBIBYTE / avatarBytes),
      loadMs: summary(loads),
      evictionMs: summary(evictions),
      hitMs: summary(hits),
      residentMiB: Math.round(residentBytes / 2 ** 20),
      renderMs,
      counters: { loads: counters.loads, evictions: counters.evictions, bytesToDevice: counters.bytesToDevice },
      machine: cpus()[0]?.model,
    };
  } finally {
    await engine.close();
  }
}

function summary(times: readonly number[]): { p50: number; p95: number } {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) =>
    Math.round(1000 * sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!) / 1000;
  return { p50: at(0.5), p95: at(0.95) };
}
