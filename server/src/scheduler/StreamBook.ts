import type { Metrics, Participant, Stream } from '../contracts.ts';
import type { StreamDemand } from './assignEncoders.ts';
import { dueSlot } from './dueSlot.ts';
import type { MotionAt, ResolvedMotion } from './motionAt.ts';
import { viewBucket } from './viewBucket.ts';

/** What the scheduler remembers of one stream. */
export interface StreamRecord {
  readonly stream: Stream;
  lastSlot: number;
  due: boolean;
  waitingSinceMs: number;
  /** when its last frame was begun */
  servedAtMs: number;
  /** the picture that it was last sent, or that is on its way */
  sentPicture: string | undefined;
  hadKey: boolean;
  /** the encoder that served it last; 0 before the first */
  lineage: number;
  /** a key frame is being rendered or encoded for it: asking for another would only repeat it */
  keyInFlight: boolean;
}

/** The content of a picture key. */
export interface PictureContent {
  participant: Participant;
  avatar: string;
  resolved: ResolvedMotion;
  view: { yaw: number; pitch: number };
}

export interface Demands {
  demands: StreamDemand[];
  pictures: Map<string, PictureContent>;
}

export interface StreamBookOptions {
  ticksPerSecond: number;
  motionAt: MotionAt;
  isCongested: (stream: Stream) => boolean;
  /** undefined: the avatar renders; a time: it failed, and is tried again (alone) from then on */
  retryAtMs: (avatar: string) => number | undefined;
  metrics: Metrics;
}

/** Keeps count of which streams are due, and of what each was last sent. */
export class StreamBook {
  readonly #options: StreamBookOptions;
  #records = new Map<number, StreamRecord>();

  constructor(options: StreamBookOptions) {
    this.#options = options;
  }

  get(stream: number): StreamRecord | undefined {
    return this.#records.get(stream);
  }

  /** Marks the streams whose turn it is; forgets those that are gone. */
  tick(streams: Iterable<Stream>, tickIndex: number, nowMs: number): void {
    const records = new Map<number, StreamRecord>();
    for (const stream of streams) {
      const record = this.#records.get(stream.id) ?? newRecord(stream);
      records.set(stream.id, record);
      this.#mark(record, tickIndex, nowMs);
    }
    this.#records = records;
  }

  #mark(record: StreamRecord, tickIndex: number, nowMs: number): void {
    const { stream } = record;
    const slot = dueSlot(tickIndex, this.#options.ticksPerSecond, stream.framesPerSecond);
    const newTurn = slot !== record.lastSlot;
    record.lastSlot = slot;
    // Who has no picture, or a broken one, does not wait for his turn.
    const wantsNow = newTurn || (stream.needsKeyFrame && !record.keyInFlight);
    if (wantsNow && !record.due) {
      record.due = true;
      record.waitingSinceMs = nowMs;
    }
    if (record.due && this.#options.isCongested(stream)) {
      // Its turn is gone: what it would be sent later is newer.
      record.due = false;
      if (newTurn) this.#options.metrics.count('congested_skips_total');
    }
  }

  /** The streams that could take a frame now, and what each picture shows. Nothing when none is due. */
  demands(nowMs: number): Demands {
    const demands: StreamDemand[] = [];
    const pictures = new Map<string, PictureContent>();
    const motions = new Map<Participant, ResolvedMotion>();
    const congested = new Map<object, boolean>();
    if (!this.#anyDue()) return { demands, pictures };
    for (const record of this.#records.values()) {
      const { stream } = record;
      const { participant } = stream;
      const avatar = participant.avatar;
      if (avatar === undefined) continue;
      const retryAtMs = this.#options.retryAtMs(avatar);
      if (retryAtMs !== undefined && nowMs < retryAtMs) continue;
      if (cached(congested, stream.peer, () => this.#options.isCongested(stream))) continue;
      const resolved = cached(motions, participant, () => this.#options.motionAt(participant, nowMs));
      const bucket = viewBucket(stream.view);
      const picture = `${participant.id}|${avatar}|${resolved.version}|${bucket.key}|${stream.size}`;
      if (!pictures.has(picture)) pictures.set(picture, { participant, avatar, resolved, view: bucket.view });
      demands.push({
        stream: stream.id,
        picture,
        codec: stream.codec,
        size: stream.size,
        framesPerSecond: stream.framesPerSecond,
        due: record.due,
        changed: record.sentPicture !== picture,
        waitingSinceMs: record.waitingSinceMs,
        servedAtMs: record.servedAtMs,
        needsKey: stream.needsKeyFrame && !record.keyInFlight,
        hadKey: record.hadKey,
        suspect: retryAtMs !== undefined,
      });
    }
    return { demands, pictures };
  }

  #anyDue(): boolean {
    for (const record of this.#records.values()) if (record.due) return true;
    return false;
  }
}

function newRecord(stream: Stream): StreamRecord {
  return {
    stream,
    lastSlot: -1,
    due: false,
    waitingSinceMs: 0,
    servedAtMs: 0,
    sentPicture: undefined,
    hadKey: false,
    lineage: 0,
    keyInFlight: false,
  };
}

function cached<K, V>(cache: Map<K, V>, key: K, make: () => V): V {
  let value = cache.get(key);
  if (value === undefined) {
    value = make();
    cache.set(key, value);
  }
  return value;
}
