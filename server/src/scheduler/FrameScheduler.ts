import type { EncodedFrame, EncoderFactory, FanOut, Metrics, RenderedPicture, Renderer, Stream } from '../contracts.ts';
import { AvatarHealth } from './AvatarHealth.ts';
import type { EncoderAssignment } from './assignEncoders.ts';
import { DeviceHealth } from './DeviceHealth.ts';
import { DevicePause } from './DevicePause.ts';
import { DeviceTime, type Lanes } from './DeviceTime.ts';
import { EncoderLineage } from './EncoderLineage.ts';
import { LoadControl } from './LoadControl.ts';
import { type MotionAt, motionAt, type ResolvedMotion } from './motionAt.ts';
import { PacketTimes } from './PacketTimes.ts';
import { Pipeline } from './Pipeline.ts';
import type { BatchPlan } from './planBatch.ts';
import { RenderBudget } from './RenderBudget.ts';
import { isDeviceFailure, renderBatch } from './renderBatch.ts';
import { type BookedPlan, type PictureContent, type ServedStream, StreamBook } from './StreamBook.ts';
import { type Clock, systemClock, TickTimer } from './TickTimer.ts';

/** The part of the room that the scheduler reads. */
export interface StreamSource {
  streams(): Iterable<Stream>;
  hasStream(id: number): boolean;
}

/** pino's shape */
export interface SchedulerLog {
  warn(fields: object, message: string): void;
}

export interface FrameSchedulerOptions {
  source: StreamSource;
  renderer: Renderer;
  encoders: EncoderFactory;
  fanOut: Pick<FanOut, 'deliver' | 'isCongested'>;
  metrics: Metrics;
  log?: SchedulerLog;
  /**
   * How often streams are looked at, default 120: their own rates set how many frames they get, but a packet waits for
   * a tick. With 4 players, 5 ms a picture, 30 ticks gave 21 ms from packet to frame (median), 60: 19 ms, 120: 11 ms.
   */
  ticksPerSecond?: number;
  /** batches are kept to what renders within this time, default 16: larger ones keep every picture waiting for the last */
  renderBudgetMs?: number;
  /**
   * How long a batch may take on a device whose throughput gains enough by it, default 66: two turns of 30 frames/s, after
   * which a frame counts as late; shared by the renders in flight.
   */
  longestRenderMs?: number;
  /** default what the renderer asks for, else 1: two renders that share a device mostly make each other slower */
  maxRendersInFlight?: number;
  /** whether lasting overload may make everybody's pictures smaller, see LoadControl; default true */
  reduceSizes?: boolean;
  motionAt?: MotionAt;
  clock?: Clock;
}

/** An encoder that nobody used for this long is closed. */
const ENCODER_IDLE_MS = 5000;
/** and such are looked for so often */
const ENCODER_LOOK_MS = 500;

/**
 * Turns what the streams want into frames: at every tick marks the streams whose turn it is, and whenever the renderer
 * is free plans and renders one batch of distinct pictures, encodes each once per audience and hands the frames to the
 * fan-out. Nothing is queued: a plan is made from the newest motion at the moment it can start. What is decided is
 * decided by pure functions; this class does the clock and the calls.
 */
export class FrameScheduler {
  readonly #source: StreamSource;
  readonly #renderer: Renderer;
  readonly #encoders: EncoderFactory;
  readonly #fanOut: Pick<FanOut, 'deliver' | 'isCongested'>;
  readonly #metrics: Metrics;
  readonly #log: SchedulerLog | undefined;
  readonly #clock: Clock;
  readonly #lanes: () => Lanes;
  readonly #book: StreamBook;
  readonly #budget: RenderBudget;
  readonly #load: LoadControl;
  readonly #health: AvatarHealth;
  readonly #devicePause = new DevicePause();
  readonly #deviceHealth = new DeviceHealth();
  readonly #deviceTime = new DeviceTime();
  readonly #packets: PacketTimes;
  readonly #timer: TickTimer;
  readonly #lineages = new Map<number, EncoderLineage>();
  readonly #work = new Set<Promise<void>>();
  #nextLineage = 1;
  readonly #pipeline = new Pipeline();
  /** the pipeline had no room when there may have been something to draw */
  #held = false;
  #picturesThisTick = 0;
  #lookedForIdleMs = Number.NEGATIVE_INFINITY;
  #warnedMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: FrameSchedulerOptions) {
    const ticksPerSecond = options.ticksPerSecond ?? 120;
    if (!(ticksPerSecond > 0)) throw new RangeError(`ticksPerSecond must be positive, received ${ticksPerSecond}`);
    this.#source = options.source;
    this.#renderer = options.renderer;
    this.#encoders = options.encoders;
    this.#fanOut = options.fanOut;
    this.#metrics = options.metrics;
    this.#packets = new PacketTimes(options.metrics);
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
    // Asked for at every plan: a calibration may find another number, and the CPU may stand in for a GPU.
    this.#lanes = () => ({
      count: options.maxRendersInFlight ?? options.renderer.rendersInFlight ?? 1,
      apart: options.renderer.device === 'cpu',
    });
    this.#health = new AvatarHealth(1000 / ticksPerSecond);
    const budgetMs = options.renderBudgetMs ?? 16;
    this.#budget = new RenderBudget({
      budgetMs,
      longestMs: Math.max(budgetMs, options.longestRenderMs ?? 66),
      lanes: this.#lanes,
      maxBatch: options.renderer.maxBatch,
      batchTimes: (size) => options.renderer.batchTimes?.(size) ?? [],
    });
    this.#load = new LoadControl({
      sizes: options.renderer.sizes,
      budget: this.#budget,
      startMs: this.#clock.now(),
      reduceSizes: options.reduceSizes ?? true,
    });
    this.#book = new StreamBook({
      ticksPerSecond,
      motionAt: options.motionAt ?? motionAt,
      isCongested: (stream) => this.#fanOut.isCongested(stream.peer),
      retryAtMs: (avatar) => this.#health.retryAtMs(avatar),
      isReady: (avatar, room) => this.#renderer.isReady?.(avatar, room) ?? true,
      metrics: options.metrics,
      sizeOf: ({ size }) => this.#load.sizeOf(size),
    });
    this.#timer = new TickTimer(this.#clock, ticksPerSecond, (index) => this.#tick(index));
  }

  start(): void {
    if (!this.#closed) this.#timer.start();
  }

  /** Nothing that viewers asked for was drawn for some seconds, because the device fails; false when nobody asks. */
  get deviceFails(): boolean {
    return this.#deviceHealth.isFailing(this.#clock.now());
  }

  /** Resolves when no render or encode is under way; with a fake clock, tests step by this. */
  async idle(): Promise<void> {
    while (this.#work.size > 0) await Promise.allSettled([...this.#work]);
  }

  /** Stops ticking, waits for the work in flight and closes all encoders (not the renderer). May be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer.stop();
    await this.idle();
    await Promise.all([...this.#lineages.values()].map((lineage) => lineage.close()));
    this.#lineages.clear();
  }

  #tick(index: number): void {
    const nowMs = this.#clock.now();
    if (this.#picturesThisTick > 0) this.#metrics.observe('pictures_per_tick', this.#picturesThisTick);
    this.#picturesThisTick = 0;
    for (const { stream, lineage } of this.#book.tick(this.#source.streams(), index, nowMs)) {
      this.#lineages.get(lineage)?.members.delete(stream.id);
    }
    this.#closeIdleEncoders(nowMs);
    this.#judgeLoad(nowMs);
    this.#pump();
  }

  #judgeLoad(nowMs: number): void {
    const report = this.#load.look(nowMs, () => this.#book.takeTurnCount());
    if (!report) return;
    const { turns, missed, busy, steps, changed } = report;
    this.#metrics.count('turns_total', turns);
    this.#metrics.count('turns_missed_total', missed);
    this.#metrics.gauge('device_busy_share', busy);
    this.#metrics.gauge('size_reduction_steps', steps);
    if (changed) this.#log?.warn(report, 'by so many sizes are pictures drawn smaller than asked for');
  }

  #pump(): void {
    while (!this.#closed) {
      const nowMs = this.#clock.now();
      const lanes = this.#lanes();
      this.#held = !this.#pipeline.hasRoom(lanes.count, nowMs);
      if (this.#held) return;
      if (!this.#devicePause.isOver(nowMs)) return;
      const startedAtMs = performance.now();
      const booked = this.#book.plan(
        nowMs,
        this.#lineages,
        (size) => this.#budget.maxPictures(size),
        this.#pipeline.lanesFor(lanes),
      );
      if (!booked) return;
      this.#metrics.observe('plan_ms', performance.now() - startedAtMs);
      this.#begin(booked, nowMs);
    }
  }

  #begin({ plan, contents }: BookedPlan, nowMs: number): void {
    this.#measurePlan(plan, contents, nowMs);
    const codecs = plan.pictures.flatMap(({ encodes }) => encodes.map(({ group }) => group.codec));
    const wanted = { i420: codecs.some((codec) => codec !== 'jpeg'), rgb: codecs.includes('jpeg') };
    const batch = this.#pipeline.begin(codecs.length);
    const startMs = performance.now();
    const rendered = renderBatch(
      this.#renderer,
      contents.map(({ avatar, participant, resolved, view }) => ({
        avatar,
        size: plan.size,
        view,
        motion: resolved.motion,
        room: participant.room,
      })),
      wanted,
    );
    plan.pictures.forEach((planned, index) => {
      const content = contents[index]!;
      const picture = rendered.then((results) => pictureOf(results[index]!));
      // It is awaited later, when the encoder has done what came before.
      picture.catch(() => undefined);
      let readers = planned.encodes.length;
      for (const encode of planned.encodes) {
        const encoded = this.#encode(encode, content, picture, nowMs).then(() => {
          batch.encoded();
          if (--readers === 0)
            picture.then(
              (drawn) => drawn.release?.(),
              () => undefined,
            );
          if (this.#held) this.#pump();
        });
        this.#track(encoded);
      }
    });
    const finished = rendered.then((results) => {
      batch.drawn(this.#clock.now());
      this.#finishRender(plan, contents, results, { begunMs: nowMs, startMs });
    });
    this.#track(finished);
  }

  #finishRender(
    plan: BatchPlan,
    contents: readonly PictureContent[],
    results: readonly PromiseSettledResult<RenderedPicture>[],
    /** when the batch began: by the scheduler's clock, and as performance.now() */
    { begunMs, startMs }: { begunMs: number; startMs: number },
  ): void {
    const nowMs = this.#clock.now();
    const endMs = performance.now();
    const { runMs, busyMs } = this.#deviceTime.ended(startMs, endMs, this.#lanes());
    this.#load.drew(busyMs);
    const succeeded = results.filter(({ status }) => status === 'fulfilled').length;
    this.#metrics.observe('render_ms', endMs - startMs);
    this.#metrics.count('pictures_rendered_total', succeeded);
    if (succeeded === results.length) this.#budget.measured(plan.size, results.length, runMs);
    this.#noteDevice(results, begunMs, nowMs);
    results.forEach((result, index) => {
      const { avatar, participant } = contents[index]!;
      if (result.status === 'fulfilled') {
        this.#health.succeeded(avatar);
        return;
      }
      if (isDeviceFailure(result.reason)) return;
      this.#metrics.count('render_errors_total');
      const failures = this.#health.failed(avatar, nowMs);
      const fields = { err: result.reason, avatar, participant: participant.id, failures };
      this.#log?.warn(fields, 'a picture could not be rendered; it is tried again alone, ever more rarely');
    });
    this.#track(this.#pumpSoon());
  }

  /** A device that fails pauses everybody, and no avatar is blamed for it. */
  #noteDevice(results: readonly PromiseSettledResult<RenderedPicture>[], begunMs: number, nowMs: number): void {
    const failure = results.find((result) => result.status === 'rejected' && isDeviceFailure(result.reason));
    if (!failure) {
      this.#devicePause.succeeded();
      this.#deviceHealth.drew();
      return;
    }
    this.#deviceHealth.failed(nowMs);
    this.#metrics.count('device_errors_total');
    if (!this.#devicePause.failed(begunMs, nowMs)) return;
    const err = (failure as PromiseRejectedResult).reason;
    this.#log?.warn({ err }, 'the device cannot draw; rooms go on without new pictures, and it is asked again');
  }

  /** After the event loop's turn, so that motion and drains that came in during the render are in the next plan. */
  #pumpSoon(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#pump();
        resolve();
      });
    });
  }

  #encode(
    assignment: EncoderAssignment,
    content: PictureContent,
    picture: Promise<RenderedPicture>,
    nowMs: number,
  ): Promise<void> {
    const lineage = this.#lineageFor(assignment, nowMs);
    // From here on the plan is what the encoder's viewers have been sent, as far as later plans are concerned.
    const served = this.#book.serve(assignment, lineage, this.#lineages, nowMs);
    const { resolved, participant } = content;
    const options = { keyFrame: assignment.keyFrame, timestampMs: nowMs };
    const done = (frame: EncodedFrame, encodeMs: number) => {
      this.#metrics.observe('encode_ms', encodeMs);
      this.#packets.shown(participant, resolved, this.#clock.now());
      this.#book.settle(served, assignment.keyFrame);
      this.#deliver(served, frame, lineage.size, resolved);
    };
    const encoded = lineage.encode(picture, options, done);
    return encoded.catch((error: unknown) => {
      this.#book.fail(served, assignment.keyFrame);
      this.#noteEncodeFailure(lineage, assignment.keyFrame, error);
    });
  }

  #lineageFor(assignment: EncoderAssignment, nowMs: number): EncoderLineage {
    const { group } = assignment;
    let lineage = assignment.lineage === undefined ? undefined : this.#lineages.get(assignment.lineage);
    if (!lineage) {
      lineage = new EncoderLineage(
        this.#nextLineage++,
        this.#encoders,
        group.codec,
        group.size,
        Math.max(...group.streams.map(({ framesPerSecond }) => framesPerSecond)),
      );
      this.#lineages.set(lineage.id, lineage);
    }
    lineage.lastUsedMs = nowMs;
    return lineage;
  }

  #deliver(served: readonly ServedStream[], frame: EncodedFrame, size: number, resolved: ResolvedMotion): void {
    this.#metrics.count('frames_encoded_total');
    if (frame.keyFrame) this.#metrics.count('key_frames_total');
    const delivery = {
      frame,
      size,
      motionSequence: resolved.sequence,
      motionTimeMs: resolved.timeMs,
      // unsigned 32 bits on the wire
      serverTimeMs: Math.floor(this.#clock.now()) % 2 ** 32,
    };
    for (const stream of served) {
      const { record } = stream;
      if (!this.#source.hasStream(record.stream.id)) continue;
      if (this.#book.accepts(stream)) this.#fanOut.deliver(record.stream, delivery);
      else this.#metrics.count('frames_overtaken_total');
    }
  }

  #noteEncodeFailure(lineage: EncoderLineage, keyFrame: boolean, error: unknown): void {
    const byRender = error instanceof PictureFailed;
    if (!byRender) {
      this.#metrics.count('encode_errors_total');
      this.#warnOfEncoder(error, lineage);
    }
    // A picture that was never rendered leaves the encoder as it was, unless viewers counted on its key frame.
    if (!byRender || keyFrame) this.#dropLineage(lineage);
  }

  /** Once a second at most: an encoder that cannot even be opened fails at every tick. */
  #warnOfEncoder(error: unknown, { codec, size }: EncoderLineage): void {
    const nowMs = this.#clock.now();
    if (nowMs - this.#warnedMs < 1000) return;
    this.#warnedMs = nowMs;
    this.#log?.warn({ err: error, codec, size }, 'an encoder failed and is replaced');
  }

  #dropLineage(lineage: EncoderLineage): void {
    if (!this.#lineages.delete(lineage.id)) return;
    for (const id of lineage.members) this.#book.orphan(id);
    this.#track(lineage.close());
  }

  #closeIdleEncoders(nowMs: number): void {
    if (nowMs - this.#lookedForIdleMs < ENCODER_LOOK_MS) return;
    this.#lookedForIdleMs = nowMs;
    for (const lineage of this.#lineages.values()) {
      if (nowMs - lineage.lastUsedMs < ENCODER_IDLE_MS || lineage.pending > 0) continue;
      this.#lineages.delete(lineage.id);
      this.#track(lineage.close());
    }
    this.#metrics.gauge('encoders', this.#lineages.size);
  }

  #measurePlan(plan: BatchPlan, contents: readonly PictureContent[], nowMs: number): void {
    this.#picturesThisTick += plan.pictures.length;
    this.#metrics.observe('batch_pictures', plan.pictures.length);
    const viewers = plan.pictures.flatMap(({ encodes }) => encodes.flatMap(({ served }) => served)).length;
    this.#metrics.count('shared_renders_total', viewers - plan.pictures.length);
    for (const { participant, resolved } of contents) this.#packets.begun(participant, resolved, nowMs);
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}

/** Tells a picture that could not be rendered from an encoder that failed. */
class PictureFailed extends Error {}

function pictureOf(result: PromiseSettledResult<RenderedPicture>): RenderedPicture {
  if (result.status === 'rejected') throw new PictureFailed('not rendered', { cause: result.reason });
  return result.value;
}
