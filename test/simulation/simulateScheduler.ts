import { neutralMotion } from '@facewire/proto';
import type { Participant, Stream } from '../../server/src/contracts.ts';
import type { LineageState } from '../../server/src/scheduler/assignEncoders.ts';
import type { ResolvedMotion } from '../../server/src/scheduler/motionAt.ts';
import { type BatchPlan, planBatch } from '../../server/src/scheduler/planBatch.ts';
import { RenderBudget } from '../../server/src/scheduler/RenderBudget.ts';
import { type PictureContent, StreamBook } from '../../server/src/scheduler/StreamBook.ts';
import { mulberry } from '../bench/tracks.ts';
import { EventQueue } from './EventQueue.ts';

export interface SimulatedDevice {
  /** of every run, whatever its batch */
  fixedMs: number;
  /** of every picture of 256²; other sizes by their area */
  perPictureMs: number;
  maxBatch: number;
}

export interface SimulationOptions {
  avatars: number;
  device: SimulatedDevice;
  /** simulated time; default 2 */
  seconds?: number;
  /** one for each avatar, by turns; default [256] */
  sizes?: readonly number[];
  /** frames/s of the streams, by turns; default [30] */
  rates?: readonly number[];
  /** of each avatar, all looking from straight ahead; default 1 */
  viewers?: number;
  /** of one encode; default 0.9 (VP8 at 256²) */
  encodeMs?: number;
  /** encodes at once; default 16 */
  encodeWorkers?: number;
  ticksPerSecond?: number;
  renderBudgetMs?: number;
  rendersInFlight?: number;
  seed?: number;
}

export interface SimulationResult {
  avatars: number;
  streams: number;
  /** of all streams together, delivered per second */
  framesPerSecond: number;
  /** pictures drawn per second: fewer than frames where viewers share them */
  picturesPerSecond: number;
  /** of the streams of the highest rate: frames of the one that got least, over their mean; 1 is fair */
  fairness: number;
  /** motion arrived → frame that shows it encoded, first viewer */
  latencyMs: { p50: number; p95: number };
  meanBatch: number;
  /** share of the time in which the device drew */
  deviceBusy: number;
  /** real time that one plan took on this machine, mean: the scheduler's own cost */
  planMs: number;
}

/** Players send so often. */
const MOTION_INTERVAL_MS = 1000 / 30;
/** Their packets are up to so late, each by itself. */
const MOTION_JITTER_MS = 10;
/** Runs of one batch size differ by so much, as a share, either way. */
const RENDER_NOISE = 0.1;

interface Lineage extends LineageState {
  members: Set<number>;
}

/**
 * The scheduler's decisions (StreamBook, planBatch, RenderBudget as the server has them) against a device, encoders and
 * players that are only times: what FrameScheduler does with promises is done with events here, so that ten thousand
 * avatars need no GPU and every run of one seed gives the same figures. Nothing of sockets or of the event loop's own
 * load is in it: planMs tells where that would be the limit.
 */
export function simulateScheduler(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: Required<SimulationOptions>;
  readonly #events = new EventQueue();
  readonly #random: () => number;
  readonly #book: StreamBook;
  readonly #budget: RenderBudget;
  readonly #streams: Stream[] = [];
  readonly #lineages = new Map<number, Lineage>();
  readonly #phaseMs = new Map<Participant, number>();
  readonly #frames: number[] = [];
  readonly #shown = new Map<Participant, number>();
  readonly #latencies: number[] = [];
  readonly #motion = neutralMotion();
  readonly #waitingEncodes: (() => void)[] = [];
  #encoding = 0;
  #rendering = 0;
  #tickIndex = 0;
  #pictures = 0;
  #runs = 0;
  #busyMs = 0;
  #plans = 0;
  #planMs = 0;

  constructor(options: SimulationOptions) {
    this.#options = {
      seconds: 2,
      sizes: [256],
      rates: [30],
      viewers: 1,
      encodeMs: 0.9,
      encodeWorkers: 16,
      ticksPerSecond: 120,
      renderBudgetMs: 16,
      rendersInFlight: 1,
      seed: 1,
      ...options,
    };
    this.#random = mulberry(this.#options.seed);
    this.#budget = new RenderBudget(this.#options.renderBudgetMs, options.device.maxBatch);
    this.#book = new StreamBook({
      ticksPerSecond: this.#options.ticksPerSecond,
      motionAt: (participant, nowMs) => this.#motionAt(participant, nowMs),
      isCongested: () => false,
      retryAtMs: () => undefined,
      metrics: { count() {}, gauge() {}, observe() {} },
    });
    for (let index = 0; index < options.avatars; index++) this.#addAvatar(index);
  }

  run(): SimulationResult {
    this.#tick();
    const { seconds, avatars, rates } = this.#options;
    this.#events.run(seconds * 1000);
    const highest = Math.max(...rates);
    const fastest = this.#frames.filter((_, index) => this.#streams[index]!.framesPerSecond === highest);
    const total = this.#frames.reduce((sum, count) => sum + count, 0);
    const mean = fastest.reduce((sum, count) => sum + count, 0) / fastest.length;
    const sorted = this.#latencies.sort((a, b) => a - b);
    const quantile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return {
      avatars,
      streams: this.#streams.length,
      framesPerSecond: total / seconds,
      picturesPerSecond: this.#pictures / seconds,
      fairness: mean === 0 ? 0 : fastest.reduce((least, count) => Math.min(least, count), mean) / mean,
      latencyMs: { p50: quantile(0.5), p95: quantile(0.95) },
      meanBatch: this.#pictures / Math.max(1, this.#runs),
      deviceBusy: this.#busyMs / (seconds * 1000 * this.#options.rendersInFlight),
      planMs: this.#planMs / Math.max(1, this.#plans),
    };
  }

  #addAvatar(index: number): void {
    const { viewers, sizes, rates } = this.#options;
    const participant: Participant = {
      id: `p${index}`,
      room: 'r',
      avatar: `a${index}`,
      latest: undefined,
      latestAtMs: 0,
    };
    this.#phaseMs.set(participant, this.#random() * MOTION_INTERVAL_MS);
    for (let viewer = 0; viewer < viewers; viewer++) {
      this.#streams.push({
        id: this.#streams.length,
        peer: PEER,
        codec: 'vp8',
        participant,
        size: sizes[index % sizes.length]!,
        framesPerSecond: rates[this.#streams.length % rates.length]!,
        view: { yaw: 0, pitch: 0 },
        needsKeyFrame: true,
      });
      this.#frames.push(0);
    }
  }

  /** The newest motion that has arrived, worked out when it is asked for: packets need no events of their own. */
  #motionAt(participant: Participant, nowMs: number): ResolvedMotion {
    const phaseMs = this.#phaseMs.get(participant)!;
    const arrivalMs = (n: number) => phaseMs + n * MOTION_INTERVAL_MS + MOTION_JITTER_MS * noise(phaseMs, n);
    let n = Math.floor((nowMs - phaseMs) / MOTION_INTERVAL_MS);
    if (n >= 0 && arrivalMs(n) > nowMs) n--;
    const arrived = n >= 0;
    return {
      motion: this.#motion,
      version: String(n),
      sequence: Math.max(0, n) & 0xffff,
      timeMs: 0,
      arrivedAtMs: arrived ? arrivalMs(n) : undefined,
      fresh: arrived,
    };
  }

  #tick(): void {
    this.#book.tick(this.#streams, this.#tickIndex++, this.#events.nowMs);
    this.#pump();
    this.#events.after(1000 / this.#options.ticksPerSecond, () => this.#tick());
  }

  #pump(): void {
    while (this.#rendering < this.#options.rendersInFlight) {
      const nowMs = this.#events.nowMs;
      const startedAtMs = performance.now();
      const { demands, pictures } = this.#book.demands(nowMs);
      const lineages = [...this.#lineages.values()];
      const plan = planBatch(demands, lineages, (size) => this.#budget.maxPictures(size), nowMs);
      if (!plan) return;
      this.#planMs += performance.now() - startedAtMs;
      this.#plans++;
      this.#begin(plan, pictures);
    }
  }

  #begin(plan: BatchPlan, contents: ReadonlyMap<string, PictureContent>): void {
    const { fixedMs, perPictureMs } = this.#options.device;
    const count = plan.pictures.length;
    const spread = 1 + RENDER_NOISE * (2 * this.#random() - 1);
    const renderMs = (fixedMs + perPictureMs * count * (plan.size / 256) ** 2) * spread;
    this.#rendering++;
    this.#runs++;
    const encodes = plan.pictures.flatMap(({ picture, encodes }) =>
      encodes.map((encode) => ({
        served: encode.served,
        content: contents.get(picture)!,
        lineage: this.#commit(encode),
      })),
    );
    this.#events.after(renderMs, () => {
      this.#rendering--;
      this.#pictures += count;
      this.#busyMs += renderMs;
      this.#budget.measured(plan.size, count, renderMs);
      for (const { served, content, lineage } of encodes) {
        this.#encode(() => this.#finish(served, content.participant, content.resolved, lineage));
      }
      this.#pump();
    });
  }

  /** As FrameScheduler does: from here on later plans count on this frame. */
  #commit({ group, served, keyFrame, lineage: id }: BatchPlan['pictures'][number]['encodes'][number]): Lineage {
    let lineage = id === undefined ? undefined : this.#lineages.get(id);
    if (!lineage) {
      lineage = {
        id: this.#lineages.size + 1,
        codec: group.codec,
        size: group.size,
        members: new Set(),
        lastKeyMs: Number.NEGATIVE_INFINITY,
        pending: 0,
      };
      this.#lineages.set(lineage.id, lineage);
    }
    lineage.members = new Set(served.map(({ stream }) => stream));
    lineage.pending++;
    if (keyFrame) lineage.lastKeyMs = this.#events.nowMs;
    for (const { stream } of served) {
      const record = this.#book.get(stream)!;
      if (record.lineage !== lineage.id) this.#lineages.get(record.lineage)?.members.delete(stream);
      record.lineage = lineage.id;
      record.due = false;
      record.servedAtMs = this.#events.nowMs;
      record.sentPicture = group.picture;
      if (keyFrame) {
        record.hadKey = true;
        record.keyInFlight = true;
      }
    }
    return lineage;
  }

  #encode(done: () => void): void {
    const start = () => {
      this.#encoding++;
      this.#events.after(this.#options.encodeMs, () => {
        this.#encoding--;
        done();
        this.#waitingEncodes.shift()?.();
      });
    };
    if (this.#encoding < this.#options.encodeWorkers) start();
    else this.#waitingEncodes.push(start);
  }

  #finish(
    served: readonly { stream: number }[],
    participant: Participant,
    { arrivedAtMs }: ResolvedMotion,
    lineage: Lineage,
  ): void {
    lineage.pending--;
    for (const { stream } of served) {
      this.#frames[stream]!++;
      this.#streams[stream]!.needsKeyFrame = false;
      this.#book.get(stream)!.keyInFlight = false;
    }
    if (arrivedAtMs === undefined || (this.#shown.get(participant) ?? -1) >= arrivedAtMs) return;
    this.#shown.set(participant, arrivedAtMs);
    this.#latencies.push(this.#events.nowMs - arrivedAtMs);
  }
}

/** 0…1, the same for the same packet of the same player */
function noise(phaseMs: number, n: number): number {
  const wave = Math.sin(phaseMs * 12.9898 + n * 78.233) * 43758.5453;
  return wave - Math.floor(wave);
}

const PEER: Stream['peer'] = {
  id: 'simulated',
  transport: 'local',
  sendControl() {},
  sendFrame() {},
  bufferedBytes: () => 0,
  close() {},
};
