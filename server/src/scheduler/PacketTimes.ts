import type { Metrics } from '../contracts.ts';
import type { ResolvedMotion } from './motionAt.ts';

/** Measures how long a packet waits until it is drawn, and until it is a frame: once each, by the first that shows it. */
export class PacketTimes {
  readonly #metrics: Metrics;
  /** by participant: arrival of the newest motion whose frame was begun and finished */
  readonly #begun = new WeakMap<object, number>();
  readonly #shown = new WeakMap<object, number>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** A picture of the motion is begun. */
  begun(participant: object, { arrivedAtMs, fresh }: ResolvedMotion, nowMs: number): void {
    if (!fresh || arrivedAtMs === undefined || this.#begun.get(participant) === arrivedAtMs) return;
    this.#begun.set(participant, arrivedAtMs);
    this.#metrics.observe('packet_to_render_ms', nowMs - arrivedAtMs);
  }

  /** A frame that shows the motion is encoded; encoders may finish out of order. */
  shown(participant: object, { arrivedAtMs, fresh }: ResolvedMotion, nowMs: number): void {
    if (!fresh || arrivedAtMs === undefined || (this.#shown.get(participant) ?? -1) >= arrivedAtMs) return;
    this.#shown.set(participant, arrivedAtMs);
    this.#metrics.observe('packet_to_frame_ms', nowMs - arrivedAtMs);
  }
}
