import { AvatarClient, type MotionSource, type PublishStats, SyntheticMotionSource } from '@facewire/client-sdk';
import type { Motion } from '@facewire/proto';

/** motions per second */
const RATE = 30;

export type Driver = 'synthetic' | (() => Motion);

/** This page as a player: a second connection that publishes a face, beside the one that watches. */
export class PlayerSession {
  readonly #client: AvatarClient;
  #source: MotionSource;

  private constructor(client: AvatarClient, source: MotionSource) {
    this.#client = client;
    this.#source = source;
    this.#source.start((motion) => this.#client.publishMotion(motion));
  }

  /** Throws FacewireError, e.g. `avatar_unknown`. */
  static async join(
    options: { url: string; room: string; name: string; avatar: string },
    driver: Driver,
  ): Promise<PlayerSession> {
    const client = new AvatarClient({ ...options, role: 'player', motionRate: RATE });
    await client.connect();
    return new PlayerSession(client, sourceOf(driver));
  }

  get participant(): string | undefined {
    return this.#client.session?.participant;
  }

  get published(): PublishStats {
    return this.#client.stats.published;
  }

  drive(driver: Driver): void {
    this.#source.stop();
    this.#source = sourceOf(driver);
    this.#source.start((motion) => this.#client.publishMotion(motion));
  }

  /** Leaves the room. May be called twice. */
  leave(): void {
    this.#source.stop();
    this.#client.close();
  }
}

function sourceOf(driver: Driver): MotionSource {
  if (driver === 'synthetic') return new SyntheticMotionSource({ seed: Math.floor(Math.random() * 1e6), rate: RATE });
  let timer: ReturnType<typeof setInterval> | undefined;
  return {
    start(onMotion) {
      timer = setInterval(() => onMotion(driver()), 1000 / RATE);
    },
    stop() {
      clearInterval(timer);
    },
  };
}
