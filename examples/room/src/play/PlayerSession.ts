import { AvatarClient, type PublishStats } from '@facewire/client-sdk';
import type { Motion } from '@facewire/proto';

/** motions per second */
const RATE = 30;

/** This page as a player: a second connection that publishes a face, beside the one that watches. */
export class PlayerSession {
  readonly #client: AvatarClient;
  readonly #timer: ReturnType<typeof setInterval>;

  private constructor(client: AvatarClient, readFace: () => Motion) {
    this.#client = client;
    this.#timer = setInterval(() => client.publishMotion(readFace()), 1000 / RATE);
  }

  /** Publishes what `readFace` gives from now on. Throws FacewireError, e.g. `avatar_unknown`. */
  static async join(
    options: { url: string; room: string; name: string; avatar: string },
    readFace: () => Motion,
  ): Promise<PlayerSession> {
    const client = new AvatarClient({ ...options, role: 'player', motionRate: RATE });
    await client.connect();
    return new PlayerSession(client, readFace);
  }

  get participant(): string | undefined {
    return this.#client.session?.participant;
  }

  get published(): PublishStats {
    return this.#client.stats.published;
  }

  /** Leaves the room. May be called twice. */
  leave(): void {
    clearInterval(this.#timer);
    this.#client.close();
  }
}
