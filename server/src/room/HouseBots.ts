import { FacewireError, synthesizeMotion } from '@facewire/proto';
import type { LocalParticipant, RoomRegistry } from './RoomRegistry.ts';

export interface HouseBotsOptions {
  registry: Pick<RoomRegistry, 'addLocalParticipant' | 'roster' | 'onRosterChanged'>;
  room: string;
  /** players that the room shall have: bots take the seats that people leave free */
  seats: number;
  /** avatars to choose from, asked for at every choice */
  avatars: () => readonly { id: string; name: string }[];
  /** whether the seats are this server's to fill: of several that share the room one does; default always */
  mayFill?: () => boolean;
  /** motions per second, default 30 */
  motionsPerSecond?: number;
  /** 0…1, default Math.random */
  random?: () => number;
  now?: () => number;
  /** calls back again and again until the returned function is called; default setInterval */
  every?: (callback: () => void, intervalMs: number) => () => void;
}

interface Bot {
  participant: LocalParticipant;
  seed: number;
  sequence: number;
}

/** Players that the server itself provides so that a room is never empty: who joins takes a bot's seat. */
export class HouseBots {
  readonly #options: HouseBotsOptions;
  readonly #random: () => number;
  readonly #now: () => number;
  #bots: Bot[] = [];
  #nextSeed = 1;
  #filling = false;
  #stop: (() => void) | undefined;

  constructor(options: HouseBotsOptions) {
    if (!Number.isInteger(options.seats) || options.seats < 0) {
      throw new RangeError(`seats must be a whole number from 0, received ${options.seats}`);
    }
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#now = options.now ?? (() => performance.now());
  }

  get count(): number {
    return this.#bots.length;
  }

  /** Fills the seats, and keeps them filled. A second call does nothing. */
  start(): void {
    if (this.#stop) return;
    const every = this.#options.every ?? interval;
    const stopTimer = every(() => this.#move(), 1000 / (this.#options.motionsPerSecond ?? 30));
    const stopListening = this.#options.registry.onRosterChanged((room) => {
      if (room === this.#options.room) this.#fill();
    });
    this.#stop = () => {
      stopTimer();
      stopListening();
    };
    this.#fill();
  }

  /** Looks again whether the seats are this server's to fill. */
  refresh(): void {
    this.#fill();
  }

  /** Removes all bots. May be called twice. */
  close(): void {
    this.#stop?.();
    this.#stop = undefined;
    const bots = this.#bots;
    this.#bots = [];
    for (const { participant } of bots) participant.remove();
  }

  /** Adding and removing bots changes the roster too: those calls must not start another filling. */
  #fill(): void {
    if (this.#filling || !this.#stop) return;
    this.#filling = true;
    try {
      const { registry, room, seats } = this.#options;
      const people = registry.roster(room).filter(({ role, bot }) => role === 'player' && !bot);
      const wanted = (this.#options.mayFill?.() ?? true) ? Math.max(0, seats - people.length) : 0;
      while (this.#bots.length > wanted) this.#removeOne(new Set(people.map(({ avatar }) => avatar)));
      while (this.#bots.length < wanted && this.#addOne());
    } finally {
      this.#filling = false;
    }
  }

  /** A bot that looks like one of the people goes first, then the one that nobody watches, then the newest. */
  #removeOne(avatarsOfPeople: ReadonlySet<string | undefined>): void {
    const double = this.#bots.find(({ participant }) => avatarsOfPeople.has(participant.avatar));
    const unwatched = this.#bots.findLast(({ participant }) => !participant.watched);
    const leaving = double ?? unwatched ?? this.#bots.at(-1)!;
    this.#bots = this.#bots.filter((bot) => bot !== leaving);
    leaving.participant.remove();
  }

  /** False when there is no avatar to give it. */
  #addOne(): boolean {
    const { registry, room } = this.#options;
    const avatars = this.#options.avatars();
    const inUse = new Set(registry.roster(room).map(({ avatar }) => avatar));
    const free = avatars.filter(({ id }) => !inUse.has(id));
    const choices = free.length > 0 ? free : avatars;
    const choice = choices[Math.min(choices.length - 1, Math.floor(this.#random() * choices.length))];
    if (!choice) return false;
    try {
      const participant = registry.addLocalParticipant({ room, name: choice.name, avatar: choice.id, bot: true });
      this.#bots.push({ participant, seed: this.#nextSeed++, sequence: 0 });
      return true;
    } catch (error) {
      // Deleted since it was listed: the seat stays empty until the roster changes; no reason to fail who joined or left.
      if (error instanceof FacewireError && error.code === 'avatar_unknown') return false;
      throw error;
    }
  }

  #move(): void {
    const nowMs = this.#now();
    for (const bot of this.#bots) {
      if (!bot.participant.watched) continue;
      bot.sequence = (bot.sequence + 1) & 0xffff;
      bot.participant.setMotion({
        motion: synthesizeMotion(nowMs / 1000, bot.seed),
        sequence: bot.sequence,
        timeMs: Math.floor(nowMs) & 0xffff,
      });
    }
  }
}

function interval(callback: () => void, intervalMs: number): () => void {
  const handle = setInterval(callback, intervalMs);
  return () => clearInterval(handle);
}
