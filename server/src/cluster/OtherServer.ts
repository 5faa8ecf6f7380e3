import type { ParticipantInfo } from '@facewire/proto';
import type { ServerMessage } from './messages.ts';
import { ServerClock } from './ServerClock.ts';

/** One other server, as its messages tell. */
export class OtherServer {
  readonly clock = new ServerClock();
  /** this server's clock when it was last heard, ms */
  heardAtMs: number;
  /** of the newest change that was taken in; undefined: nothing is known yet */
  #sequence: number | undefined;
  #parts: Extract<ServerMessage, { type: 'rosters' }>[] = [];
  readonly #rosters = new Map<string, readonly ParticipantInfo[]>();

  constructor(nowMs: number) {
    this.heardAtMs = nowMs;
  }

  /** rooms that its participants are in, and who they are */
  get rosters(): ReadonlyMap<string, readonly ParticipantInfo[]> {
    return this.#rosters;
  }

  /** Whether everything up to change number `sequence` has been taken in. */
  isAt(sequence: number): boolean {
    return this.#sequence === sequence;
  }

  /** The next change. False, and nothing done, when one before it is missing; an older one is known already. */
  takeRoster({ sequence, room, participants }: Extract<ServerMessage, { type: 'roster' }>): boolean {
    if (this.#sequence === undefined || sequence > this.#sequence + 1) return false;
    if (sequence <= this.#sequence) return true;
    this.#sequence = sequence;
    this.#set(room, participants);
    return true;
  }

  /** Returns the rooms that changed with the last part of everything; undefined as long as parts are missing. */
  takeRosters(message: Extract<ServerMessage, { type: 'rosters' }>): string[] | undefined {
    const { sequence, part, parts } = message;
    if (part === 0) this.#parts = [];
    const fits = this.#parts.length === part && (this.#parts[0]?.sequence ?? sequence) === sequence;
    if (fits) this.#parts.push(message);
    else this.#parts = [];
    if (this.#parts.length < parts) return undefined;
    const all = new Map(this.#parts.flatMap(({ rosters }) => rosters));
    this.#parts = [];
    this.#sequence = sequence;
    const changed = [...new Set([...this.#rosters.keys(), ...all.keys()])];
    for (const room of changed) this.#set(room, all.get(room) ?? []);
    return changed;
  }

  #set(room: string, participants: readonly ParticipantInfo[]): void {
    if (participants.length > 0) this.#rosters.set(room, participants);
    else this.#rosters.delete(room);
  }
}
