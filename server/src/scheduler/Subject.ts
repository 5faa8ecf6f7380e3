import type { MotionSample } from '@facewire/proto';
import type { Participant, Stream } from '../contracts.ts';
import type { Contender } from './planBatch.ts';

/** What the scheduler remembers of one stream. */
export interface StreamRecord {
  readonly stream: Stream;
  subject: Subject;
  lastSlot: number;
  due: boolean;
  deadlineMs: number;
  /** mean of the times at which its frames were begun, each counting as much as all before it: tells those apart who share a batch */
  servedAtMs: number;
  /** the picture that it was last sent, or that is on its way */
  sentPicture: string | undefined;
  hadKey: boolean;
  /** the encoder that served it last; 0 before the first */
  lineage: number;
  /** rises whenever another encoder begins to serve it */
  epoch: number;
  /** the epoch of the last frame that it was sent */
  sentEpoch: number;
  /** a key frame is being rendered or encoded for it: asking for another would only repeat it */
  keyInFlight: boolean;
  /** the view and wish for a key frame that the last tick saw */
  seenYaw: number;
  seenPitch: number;
  seenNeedsKey: boolean;
  /** the last tick at which the room still had the stream */
  seenTick: number;
}

/** A subject that shows nothing new is looked at again after a pause that doubles from the first to the last, ms. */
const FIRST_PAUSE_MS = 16;
const LAST_PAUSE_MS = 128;
/** For so long after a packet motion may go on by itself (a face comes to rest): until then only the first pause. */
const LIVELY_MS = 5000;
/** One whose encoders are busy is looked at when they are not; this is for the case that nobody told. */
const BLOCKED_PAUSE_MS = 250;

/**
 * One participant at one size, with the streams that look at it. Streams of different subjects never share a picture,
 * and an encoder only after its viewers have left: so a plan need open those subjects only whose turn it is.
 */
export class Subject implements Contender {
  readonly participant: Participant;
  readonly size: number;
  readonly order: number;
  readonly records = new Set<StreamRecord>();
  /** of the streams that are due: the earliest of each; what Contender asks for */
  deadlineMs = 0;
  servedAtMs = 0;
  #anyDue = false;
  #stale = true;
  #pauseMs = 0;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  /** the participant as the pause began, which ends when that is no longer so; undefined when there is no pause */
  #pausedAt:
    | { avatar: string | undefined; latest: MotionSample | undefined | 'any'; version: string | undefined }
    | undefined;

  constructor(participant: Participant, size: number, order: number) {
    this.participant = participant;
    this.size = size;
    this.order = order;
  }

  /** Something of its streams changed: what was worked out of them no longer holds. */
  touch(): void {
    this.#stale = true;
    this.#pausedUntilMs = Number.NEGATIVE_INFINITY;
    this.#pausedAt = undefined;
  }

  /** Whether it may have something to draw, as far as can be told without working its pictures out. */
  isWaiting(nowMs: number): boolean {
    if (this.#stale) this.#summarise();
    if (!this.#anyDue) return false;
    if (nowMs >= this.#pausedUntilMs) return true;
    const at = this.#pausedAt;
    if (!at) return false;
    const { avatar, latest } = this.participant;
    if (at.avatar === avatar && (at.latest === 'any' || at.latest === latest)) return false;
    // Over for good: the plan that asks may have no room for it.
    this.#pauseMs = 0;
    this.#pausedUntilMs = Number.NEGATIVE_INFINITY;
    this.#pausedAt = undefined;
    return true;
  }

  /** It waits although there is nothing to draw: the motion rests. */
  get isIdle(): boolean {
    return this.#pauseMs > 0;
  }

  /** Whether its motion is still the one with which it paused, and nothing else happened since. */
  isStill(version: string): boolean {
    return this.#pausedAt?.version === version && this.#pausedAt.avatar === this.participant.avatar;
  }

  /** It was due but showed nothing new: it is looked at after a new packet, or a while, as motion may ease by itself. */
  pauseIdle(nowMs: number, version: string): void {
    const lively = nowMs - this.participant.latestAtMs < LIVELY_MS;
    const grown = this.#pauseMs === 0 || lively ? FIRST_PAUSE_MS : 2 * this.#pauseMs;
    this.#pauseMs = Math.min(LAST_PAUSE_MS, grown);
    this.#pausedUntilMs = nowMs + this.#pauseMs;
    this.#pausedAt = { avatar: this.participant.avatar, latest: this.participant.latest, version };
  }

  /** It has something to draw but cannot go on before touch(), or with another avatar. */
  pauseBlocked(nowMs: number, untilMs = nowMs + BLOCKED_PAUSE_MS): void {
    this.#pausedUntilMs = untilMs;
    this.#pausedAt = { avatar: this.participant.avatar, latest: 'any', version: undefined };
  }

  /** It would rather draw what the next packet shows: it is looked at when that is there, or at the latest then. */
  pauseForPacket(untilMs: number): void {
    this.#pausedUntilMs = untilMs;
    this.#pausedAt = { avatar: this.participant.avatar, latest: this.participant.latest, version: undefined };
  }

  /** It has something to draw: no pause grows from here. */
  stir(): void {
    this.#pauseMs = 0;
  }

  #summarise(): void {
    this.#stale = false;
    this.#anyDue = false;
    let deadlineMs = Number.POSITIVE_INFINITY;
    let servedAtMs = Number.POSITIVE_INFINITY;
    for (const record of this.records) {
      if (!record.due) continue;
      this.#anyDue = true;
      if (record.deadlineMs < deadlineMs) deadlineMs = record.deadlineMs;
      if (record.servedAtMs < servedAtMs) servedAtMs = record.servedAtMs;
    }
    this.deadlineMs = deadlineMs;
    this.servedAtMs = servedAtMs;
  }
}
