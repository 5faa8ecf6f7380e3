import { type MotionSample, neutralMotion } from '@facewire/proto';
import type { BatchTime, Participant, Stream } from '../../server/src/contracts.ts';
import type { EncoderAssignment, LineageState } from '../../server/src/scheduler/assignEncoders.ts';
import { DeviceTime, type Lanes } from '../../server/src/scheduler/DeviceTime.ts';
import { LoadControl } from '../../server/src/scheduler/LoadControl.ts';
import type { ResolvedMotion } from '../../server/src/scheduler/motionAt.ts';
import { Pipeline } from '../../server/src/scheduler/Pipeline.ts';
import { RenderBudget } from '../../server/src/scheduler/RenderBudget.ts';
import { type BookedPlan, type ServedStream, StreamBook } from '../../server/src/scheduler/StreamBook.ts';
import { mulberry } from '../bench/tracks.ts';
import { EventQueue } from './EventQueue.ts';

export interface SimulatedDevice {
  /** of every run, whatever its batch */
  fixedMs: number;
  /** of every picture of 256²; other sizes by their area */
  perPictureMs: number;
  maxBatch: number;
  /** whether its times are known from the start, as after a calibration; default false: they are learnt */
  calibrated?: boolean;
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
  /** default 66, as the server has it */
  longestRenderMs?: number;
  rendersInFlight?: number;
  /** whether the scheduler takes renders in flight for ones that do not make each other wait, as on the CPU; default false */
  apart?: boolean;
  /** sizes to which everybody's pictures may be reduced under overload, ascending; default none */
  reduceTo?: readonly number[];
  /** share of the avatars whose players send packets: the others sent one and are still; default 1 */
  moving?: number;
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
  /** share of the frames that were drawn smaller than asked for */
  reduced: number;
  /** share of the time in which the device drew */
  deviceBusy: number;
  /** the same as the scheduler tells it (device_busy_share), mean */
  reportedBusy: number;
  /** real time that one plan took on this machine, median: the scheduler's own cost */
  planMs: number;
  /** and what one tick took */
  tickMs: number;
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
  readonly #load: LoadControl;
  readonly #lanes: Lanes;
  readonly #deviceTime = new DeviceTime();
  readonly #streams: Stream[] = [];
  readonly #lineages = new Map<number, Lineage>();
  readonly #frames: number[] = [];
  readonly #shown = new Map<Participant, number>();
  readonly #latencies: number[] = [];
  readonly #motion = neutralMotion();
  readonly #waitingEncodes: (() => void)[] = [];
  #encoding = 0;
  readonly #pipeline = new Pipeline();
  #held = false;
  #tickIndex = 0;
  #pictures = 0;
  #runs = 0;
  #busyMs = 0;
  #reduced = 0;
  readonly #reports: number[] = [];
  readonly #planMs: number[] = [];
  readonly #tickMs: number[] = [];

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
      longestRenderMs: 66,
      rendersInFlight: 1,
      apart: false,
      moving: 1,
      reduceTo: [],
      seed: 1,
      ...options,
    };
    this.#random = mulberry(this.#options.seed);
    this.#lanes = { count: this.#options.rendersInFlight, apart: this.#options.apart };
    const { device, renderBudgetMs, longestRenderMs } = this.#options;
    this.#budget = new RenderBudget({
      budgetMs: renderBudgetMs,
      longestMs: Math.max(renderBudgetMs, longestRenderMs),
      lanes: () => this.#lanes,
      maxBatch: device.maxBatch,
      batchTimes: device.calibrated ? calibrationOf(device) : () => [],
    });
    const allSizes = new Set([...this.#options.sizes, ...this.#options.reduceTo]);
    this.#load = new LoadControl({
      sizes: [...allSizes].sort((a, b) => a - b),
      budget: this.#budget,
      startMs: 0,
      reduceSizes: this.#options.reduceTo.length > 0,
    });
    this.#book = new StreamBook({
      sizeOf: ({ size }) => this.#load.sizeOf(size),
      ticksPerSecond: this.#options.ticksPerSecond,
      motionAt: (participant) => this.#motionAt(participant),
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
      reduced: this.#reduced / Math.max(1, total),
      deviceBusy: this.#busyMs / (seconds * 1000 * this.#options.rendersInFlight),
      reportedBusy: this.#reports.reduce((sum, busy) => sum + busy, 0) / this.#reports.length,
      planMs: median(this.#planMs),
      tickMs: median(this.#tickMs),
    };
  }

  #addAvatar(index: number): void {
    const { viewers, sizes, rates } = this.#options;
    const phaseMs = this.#random() * MOTION_INTERVAL_MS;
    const stillFromMs = index < this.#options.moving * this.#options.avatars ? Number.POSITIVE_INFINITY : 0;
    const newest = () =>
      newestPacket(phaseMs, Math.min(this.#events.nowMs, phaseMs + MOTION_INTERVAL_MS + stillFromMs));
    let sample: MotionSample | undefined;
    const motion = this.#motion;
    const participant: Participant = {
      id: `p${index}`,
      room: 'r',
      avatar: `a${index}`,
      // A new object for every packet, as in the room; made when it is asked for, so packets need no events of their own.
      get latest() {
        const { sequence, arrived } = newest();
        if (arrived && sample?.sequence !== sequence) sample = { sequence, timeMs: 0, motion };
        return sample;
      },
      get latestAtMs() {
        return newest().atMs;
      },
    };
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

  #motionAt({ latest, latestAtMs }: Participant): ResolvedMotion {
    return {
      motion: this.#motion,
      version: String(latest?.sequence),
      sequence: latest?.sequence ?? 0,
      timeMs: 0,
      arrivedAtMs: latest && latestAtMs,
      fresh: latest !== undefined,
    };
  }

  #tick(): void {
    const startedAtMs = performance.now();
    this.#book.tick(this.#streams, this.#tickIndex++, this.#events.nowMs);
    this.#tickMs.push(performance.now() - startedAtMs);
    const report = this.#load.look(this.#events.nowMs, () => this.#book.takeTurnCount());
    if (report) this.#reports.push(report.busy);
    this.#pump();
    this.#events.after(1000 / this.#options.ticksPerSecond, () => this.#tick());
  }

  #pump(): void {
    for (;;) {
      const nowMs = this.#events.nowMs;
      this.#held = !this.#pipeline.hasRoom(this.#lanes.count, nowMs);
      if (this.#held) return;
      const startedAtMs = performance.now();
      const booked = this.#book.plan(
        nowMs,
        this.#lineages,
        (size) => this.#budget.maxPictures(size),
        this.#pipeline.lanesFor(this.#lanes),
      );
      if (!booked) return;
      this.#planMs.push(performance.now() - startedAtMs);
      this.#begin(booked);
    }
  }

  #begin({ plan, contents }: BookedPlan): void {
    const count = plan.pictures.length;
    const spread = 1 + RENDER_NOISE * (2 * this.#random() - 1);
    const renderMs = runMs(this.#options.device, plan.size, count) * spread;
    this.#runs++;
    const encodes = plan.pictures.flatMap(({ encodes }, index) =>
      encodes.map((encode) => ({
        encode,
        content: contents[index]!,
        ...this.#commit(encode),
      })),
    );
    const batch = this.#pipeline.begin(encodes.length);
    const startMs = this.#events.nowMs;
    this.#events.after(renderMs, () => {
      batch.drawn(this.#events.nowMs);
      this.#pictures += count;
      this.#busyMs += renderMs;
      const { runMs, busyMs } = this.#deviceTime.ended(startMs, this.#events.nowMs, this.#lanes);
      this.#budget.measured(plan.size, count, runMs);
      this.#load.drew(busyMs);
      for (const { encode, content, lineage, served } of encodes) {
        this.#encode(() => {
          batch.encoded();
          this.#book.settle(served, encode.keyFrame);
          this.#finish(encode, content.participant, content.resolved, lineage);
          if (this.#held) this.#pump();
        });
      }
      this.#pump();
    });
  }

  /** As FrameScheduler does: from here on later plans count on this frame. */
  #commit(assignment: EncoderAssignment): { lineage: Lineage; served: ServedStream[] } {
    const { group, lineage: id } = assignment;
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
    lineage.pending++;
    return { lineage, served: this.#book.serve(assignment, lineage, this.#lineages, this.#events.nowMs) };
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
    assignment: EncoderAssignment,
    participant: Participant,
    { arrivedAtMs }: ResolvedMotion,
    lineage: Lineage,
  ): void {
    lineage.pending--;
    for (const { stream } of assignment.served) {
      this.#frames[stream]!++;
      if (assignment.group.size < this.#streams[stream]!.size) this.#reduced++;
      this.#streams[stream]!.needsKeyFrame = false;
    }
    if (arrivedAtMs === undefined || (this.#shown.get(participant) ?? -1) >= arrivedAtMs) return;
    this.#shown.set(participant, arrivedAtMs);
    this.#latencies.push(this.#events.nowMs - arrivedAtMs);
  }
}

/** without noise */
function runMs({ fixedMs, perPictureMs }: SimulatedDevice, size: number, pictures: number): number {
  return fixedMs + perPictureMs * pictures * (size / 256) ** 2;
}

/** What a calibration of this device finds, for every size. */
function calibrationOf(device: SimulatedDevice): (size: number) => readonly BatchTime[] {
  const known = new Map<number, BatchTime[]>();
  return (size) => {
    let times = known.get(size);
    if (!times) {
      times = [];
      for (let pictures = 1; pictures <= device.maxBatch; pictures *= 2) {
        times.push({ pictures, ms: runMs(device, size, pictures) });
      }
      known.set(size, times);
    }
    return times;
  };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** The packet of a player that arrived last; `sequence` −1 is none. */
function newestPacket(phaseMs: number, nowMs: number): { sequence: number; atMs: number; arrived: boolean } {
  const arrivalMs = (n: number) => phaseMs + n * MOTION_INTERVAL_MS + MOTION_JITTER_MS * noise(phaseMs, n);
  let sequence = Math.floor((nowMs - phaseMs) / MOTION_INTERVAL_MS);
  if (sequence >= 0 && arrivalMs(sequence) > nowMs) sequence--;
  return { sequence, atMs: sequence >= 0 ? arrivalMs(sequence) : 0, arrived: sequence >= 0 };
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
