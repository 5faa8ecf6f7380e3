import type { Metrics, Participant, Stream } from '../contracts.ts';
import { type EncoderAssignment, type LineageState, orphansAmong, type StreamDemand } from './assignEncoders.ts';
import { dueSlot } from './dueSlot.ts';
import type { MotionAt, ResolvedMotion } from './motionAt.ts';
import { type BatchPlan, type Candidate, candidatesOf, MAX_PENDING_ENCODES, planBatch } from './planBatch.ts';
import { type StreamRecord, Subject } from './Subject.ts';
import { viewBucket } from './viewBucket.ts';

/** The content of a picture key. */
export interface PictureContent {
  participant: Participant;
  avatar: string;
  resolved: ResolvedMotion;
  view: { yaw: number; pitch: number };
}

export interface BookedPlan {
  plan: BatchPlan;
  /** of each picture of the plan, in its order */
  contents: PictureContent[];
}

/** An encoder as the book changes it. */
export interface BookLineage extends LineageState {
  members: Set<number>;
}

/** A stream for which an encode was begun, and its epoch at that time. */
export interface ServedStream {
  readonly record: StreamRecord;
  readonly epoch: number;
}

export interface StreamBookOptions {
  ticksPerSecond: number;
  motionAt: MotionAt;
  isCongested: (stream: Stream) => boolean;
  /** undefined: the avatar renders; a time: it failed, and is tried again (alone) from then on */
  retryAtMs: (avatar: string) => number | undefined;
  metrics: Metrics;
  /** whether the avatar can be drawn without keeping others waiting; default always */
  isReady?: (avatar: string, room: string) => boolean;
  /** the size at which a stream is drawn, when that is not the one it asked for */
  sizeOf?: (stream: Stream) => number;
}

/** Turns since the last look: what a stream's rate entitled it to, and those that it did not get. */
export interface TurnCount {
  turns: number;
  missed: number;
}

/**
 * Turns come by so much faster than a stream's rate asks. Most streams ask for as many frames as their sender has packets:
 * at the same rate a turn that once comes just before the packet always does, and shows the one before, up to a turn old.
 * A little faster it runs through to where it waits for the packet, and the sender sets the pace.
 */
const TURN_LEAD = 1.04;
/** A slower stream waits so many turns of the fastest that shows the same subject for a picture that both can take. */
const WAIT_FOR_OTHERS = 1.5;
/** A key that cannot be given yet, or an avatar that is being loaded, is asked for again after so long, ms. */
const SHORT_PAUSE_MS = 8;
/** Who was served longer ago than this counts as served then. */
const SERVED_MEMORY_MS = 1000;

/**
 * Keeps count of which streams are due and of what each was last sent, and plans batches of it. Kept up to date from
 * tick to tick, so that a plan costs one step for each waiting subject, and the real work only for those drawn.
 */
export class StreamBook {
  readonly #options: StreamBookOptions;
  readonly #records = new Map<number, StreamRecord>();
  readonly #subjects = new Map<Participant, Map<number, Subject>>();
  readonly #congested = new Map<object, boolean>();
  #nextOrder = 0;
  #count: TurnCount = { turns: 0, missed: 0 };

  constructor(options: StreamBookOptions) {
    this.#options = options;
  }

  get(stream: number): StreamRecord | undefined {
    return this.#records.get(stream);
  }

  /** Marks the streams whose turn it is; forgets those that are gone, and returns them. */
  tick(streams: Iterable<Stream>, tickIndex: number, nowMs: number): StreamRecord[] {
    this.#congested.clear();
    let seen = 0;
    for (const stream of streams) {
      let record = this.#records.get(stream.id);
      if (record?.stream !== stream) {
        if (record) this.#forget(record);
        record = this.#add(stream);
      }
      record.seenTick = tickIndex;
      seen++;
      this.#mark(record, tickIndex, nowMs);
    }
    if (seen === this.#records.size) return [];
    const gone = [...this.#records.values()].filter(({ seenTick }) => seenTick !== tickIndex);
    for (const record of gone) this.#forget(record);
    return gone;
  }

  /** What the ticks counted since the last call. Who has nothing new to show misses nothing. */
  takeTurnCount(): TurnCount {
    const count = this.#count;
    this.#count = { turns: 0, missed: 0 };
    return count;
  }

  /** The next batch, from the newest motion, as planBatch() makes it. Undefined when there is nothing to do. */
  plan(
    nowMs: number,
    lineages: ReadonlyMap<number, LineageState>,
    maxPictures: (size: number) => number,
    lanes = 1,
  ): BookedPlan | undefined {
    const pictures = new Map<string, PictureContent>();
    const congested = new Map<object, boolean>();
    let found: LineageState[] | undefined;
    const orphans = () => {
      found ??= orphansAmong(lineages.values(), nowMs).filter(({ pending }) => pending < MAX_PENDING_ENCODES);
      return found;
    };
    const open = (subject: Subject) => this.#open(subject, { nowMs, lineages, orphans, pictures, congested });
    const plan = planBatch(this.#waiting(nowMs), open, maxPictures, lanes);
    return plan && { plan, contents: plan.pictures.map(({ picture }) => pictures.get(picture)!) };
  }

  /**
   * The encode is begun: from here on it is what its viewers were sent, as far as later plans are concerned. Returns those
   * viewers, for settle() or fail(), and accepts().
   */
  serve(
    { group, served, keyFrame }: EncoderAssignment,
    lineage: BookLineage,
    lineages: ReadonlyMap<number, BookLineage>,
    nowMs: number,
  ): ServedStream[] {
    // Who is not served misses a frame, and is a member no more.
    lineage.members = new Set(served.map(({ stream }) => stream));
    if (keyFrame) lineage.lastKeyMs = nowMs;
    const servedStreams: ServedStream[] = [];
    for (const { stream } of served) {
      const record = this.#records.get(stream);
      if (!record) continue;
      if (record.lineage !== lineage.id) {
        lineages.get(record.lineage)?.members.delete(stream);
        record.lineage = lineage.id;
        record.epoch++;
      }
      record.due = false;
      record.servedAtMs = (Math.max(record.servedAtMs, nowMs - SERVED_MEMORY_MS) + nowMs) / 2;
      record.sentPicture = group.picture;
      if (keyFrame) {
        record.hadKey = true;
        record.keyInFlight = true;
      }
      record.subject.touch();
      servedStreams.push({ record, epoch: record.epoch });
    }
    return servedStreams;
  }

  /** The encode came to its end. */
  settle(served: readonly ServedStream[], keyFrame: boolean): void {
    for (const { record, epoch } of served) {
      // A former encoder's key frame says nothing of the one that is on its way from the present one.
      if (keyFrame && epoch === record.epoch) record.keyInFlight = false;
      record.subject.touch();
    }
  }

  /**
   * Whether the stream is to be sent the frame, which counts as sent. Encoders run beside each other: a frame of the former
   * one may be done after the key frame of the next, and is then neither decodable nor newer.
   */
  accepts({ record, epoch }: ServedStream): boolean {
    if (this.#records.get(record.stream.id) !== record || epoch < record.sentEpoch) return false;
    record.sentEpoch = epoch;
    return true;
  }

  /** The encode failed: its viewers are due again, but for those whom another encoder serves by now. */
  fail(served: readonly ServedStream[], keyFrame: boolean): void {
    this.settle(served, keyFrame);
    for (const { record, epoch } of served) if (epoch === record.epoch) takeBack(record, keyFrame);
  }

  /** The stream's encoder is no more: it is due again, with a key frame of another. */
  orphan(stream: number): void {
    const record = this.#records.get(stream);
    if (record) takeBack(record, true);
  }

  #add(stream: Stream): StreamRecord {
    const record: StreamRecord = {
      stream,
      subject: this.#subject(stream.participant, this.#sizeOf(stream)),
      lastSlot: -1,
      due: false,
      deadlineMs: 0,
      servedAtMs: 0,
      sentPicture: undefined,
      hadKey: false,
      lineage: 0,
      epoch: 0,
      sentEpoch: 0,
      keyInFlight: false,
      seenYaw: stream.view.yaw,
      seenPitch: stream.view.pitch,
      seenNeedsKey: stream.needsKeyFrame,
      seenTick: 0,
    };
    this.#records.set(stream.id, record);
    record.subject.records.add(record);
    record.subject.touch();
    return record;
  }

  #forget(record: StreamRecord): void {
    this.#records.delete(record.stream.id);
    this.#leave(record);
  }

  #leave(record: StreamRecord): void {
    const { subject } = record;
    subject.records.delete(record);
    subject.touch();
    if (subject.records.size > 0) return;
    const sizes = this.#subjects.get(subject.participant);
    sizes?.delete(subject.size);
    if (sizes?.size === 0) this.#subjects.delete(subject.participant);
  }

  #subject(participant: Participant, size: number): Subject {
    let sizes = this.#subjects.get(participant);
    if (!sizes) {
      sizes = new Map();
      this.#subjects.set(participant, sizes);
    }
    let subject = sizes.get(size);
    if (!subject) {
      subject = new Subject(participant, size, this.#nextOrder++);
      sizes.set(size, subject);
    }
    return subject;
  }

  #sizeOf(stream: Stream): number {
    return this.#options.sizeOf?.(stream) ?? stream.size;
  }

  #mark(record: StreamRecord, tickIndex: number, nowMs: number): void {
    const { stream } = record;
    this.#notice(record);
    if (stream.framesPerSecond === 0) {
      // Its viewer does not see it.
      if (record.due) record.subject.touch();
      record.due = false;
      record.lastSlot = -1;
      return;
    }
    const slot = dueSlot(tickIndex, this.#options.ticksPerSecond, TURN_LEAD * stream.framesPerSecond);
    const newTurn = slot !== record.lastSlot;
    record.lastSlot = slot;
    if (newTurn && !record.subject.isIdle) {
      this.#count.turns++;
      if (record.due) this.#count.missed++;
    }
    // Who has no picture, or a broken one, does not wait for his turn.
    const wantsNow = newTurn || (stream.needsKeyFrame && !record.keyInFlight);
    const wasDue = record.due;
    if (wantsNow && !record.due) {
      record.due = true;
      record.deadlineMs = nowMs + 1000 / stream.framesPerSecond;
    }
    if (record.due && this.#isCongested(this.#congested, stream)) {
      // Its turn is gone: what it would be sent later is newer.
      record.due = false;
      if (newTurn) this.#options.metrics.count('congested_skips_total');
    }
    if (record.due !== wasDue) record.subject.touch();
  }

  /** Rooms change a stream's size, view and wish for a key frame as they like: seen at the next tick. */
  #notice(record: StreamRecord): void {
    const { stream } = record;
    const size = this.#sizeOf(stream);
    if (size !== record.subject.size) {
      this.#leave(record);
      record.subject = this.#subject(stream.participant, size);
      record.subject.records.add(record);
      record.subject.touch();
    }
    const { yaw, pitch } = stream.view;
    const same = yaw === record.seenYaw && pitch === record.seenPitch && stream.needsKeyFrame === record.seenNeedsKey;
    if (same) return;
    record.seenYaw = yaw;
    record.seenPitch = pitch;
    record.seenNeedsKey = stream.needsKeyFrame;
    record.subject.touch();
  }

  #waiting(nowMs: number): Subject[] {
    const waiting: Subject[] = [];
    for (const sizes of this.#subjects.values()) {
      for (const subject of sizes.values()) if (subject.isWaiting(nowMs)) waiting.push(subject);
    }
    return waiting;
  }

  /** A subject's pictures; when it has none, the subject pauses. */
  #open(subject: Subject, context: PlanContext): Candidate[] {
    const { nowMs } = context;
    const { avatar } = subject.participant;
    const retryAtMs = avatar === undefined ? undefined : this.#options.retryAtMs(avatar);
    if (retryAtMs !== undefined && nowMs < retryAtMs) {
      subject.pauseBlocked(nowMs, retryAtMs);
      return [];
    }
    const resolved = this.#options.motionAt(subject.participant, nowMs, fastestOf(subject));
    if (avatar === undefined || subject.isStill(resolved.version)) {
      subject.pauseIdle(nowMs, resolved.version);
      return [];
    }
    const { demands, waiting } = this.#demands(subject, avatar, resolved, retryAtMs !== undefined, context);
    const lineages = new Map<number, LineageState>();
    for (const { lineage: id } of subject.records) {
      const lineage = context.lineages.get(id);
      if (lineage) lineages.set(id, lineage);
    }
    const candidates = candidatesOf(demands, [...lineages.values()], context.orphans, nowMs, subject.order);
    if (candidates.length > 0) {
      subject.stir();
      // One that failed before is tried whatever the bank says: drawing it tells what is wrong.
      const isReady = () => this.#options.isReady?.(avatar, subject.participant.room) ?? true;
      if (retryAtMs !== undefined || isReady()) return candidates;
      this.#options.metrics.count('avatar_waits_total');
      subject.pauseBlocked(nowMs, nowMs + SHORT_PAUSE_MS);
      return [];
    }
    if (demands.some(({ due, changed, needsKey }) => due && (changed || needsKey))) {
      // It waits for an encoder to come free, which is told, or for the time at which a key frame may be made.
      const busy = [...lineages.values()].some(({ pending }) => pending >= MAX_PENDING_ENCODES);
      subject.pauseBlocked(nowMs, busy ? undefined : nowMs + SHORT_PAUSE_MS);
    } else if (waiting) subject.pauseForPacket(nowMs + SHORT_PAUSE_MS);
    else subject.pauseIdle(nowMs, resolved.version);
    return [];
  }

  /** The subject's streams that could take a frame now; `waiting`: one that is due waits for the next packet. */
  #demands(
    subject: Subject,
    avatar: string,
    resolved: ResolvedMotion,
    suspect: boolean,
    { nowMs, pictures, congested }: PlanContext,
  ): { demands: StreamDemand[]; waiting: boolean } {
    const { participant, size } = subject;
    const fastest = fastestOf(subject);
    const demands: StreamDemand[] = [];
    let waiting = false;
    for (const record of subject.records) {
      const { stream } = record;
      if (stream.framesPerSecond === 0 || this.#isCongested(congested, stream)) continue;
      const bucket = viewBucket(stream.view);
      const picture = `${participant.id}|${avatar}|${resolved.version}|${bucket.key}|${size}`;
      if (!pictures.has(picture)) pictures.set(picture, { participant, avatar, resolved, view: bucket.view });
      const waits = record.due && waitsForOthers(record, picture, fastest, nowMs);
      waiting ||= waits;
      demands.push({
        stream: stream.id,
        picture,
        codec: stream.codec,
        size,
        framesPerSecond: stream.framesPerSecond,
        due: record.due && !waits,
        changed: record.sentPicture !== picture,
        deadlineMs: record.deadlineMs,
        servedAtMs: record.servedAtMs,
        needsKey: stream.needsKeyFrame && !record.keyInFlight,
        hadKey: record.hadKey,
        suspect,
      });
    }
    return { demands, waiting };
  }

  #isCongested(known: Map<object, boolean>, stream: Stream): boolean {
    let congested = known.get(stream.peer);
    if (congested === undefined) {
      congested = this.#options.isCongested(stream);
      known.set(stream.peer, congested);
    }
    return congested;
  }
}

interface PlanContext {
  nowMs: number;
  lineages: ReadonlyMap<number, LineageState>;
  /** worked out once a plan, and only when somebody needs a new encoder */
  orphans: () => LineageState[];
  pictures: Map<string, PictureContent>;
  congested: Map<object, boolean>;
}

/** What was planned for this stream will not come: it is due again. */
function takeBack(record: StreamRecord, keyFrame: boolean): void {
  record.due = true;
  record.sentPicture = undefined;
  record.subject.touch();
  if (!keyFrame) return;
  record.hadKey = false;
  record.keyInFlight = false;
}

/**
 * Whether a slower stream whose turn has come lets the picture go that was drawn for a faster one before, and takes the
 * next together with it: to draw it once more would cost as much, and show an older motion.
 */
function waitsForOthers(record: StreamRecord, picture: string, fastest: number, nowMs: number): boolean {
  const { framesPerSecond, needsKeyFrame } = record.stream;
  if (framesPerSecond >= fastest || needsKeyFrame || record.sentPicture === picture) return false;
  const dueAtMs = record.deadlineMs - 1000 / framesPerSecond;
  if (nowMs - dueAtMs > (WAIT_FOR_OTHERS * 1000) / fastest) return false;
  for (const { sentPicture } of record.subject.records) if (sentPicture === picture) return true;
  return false;
}

function fastestOf({ records }: Subject): number {
  let fastest = 1;
  for (const { stream } of records) if (stream.framesPerSecond > fastest) fastest = stream.framesPerSecond;
  return fastest;
}
