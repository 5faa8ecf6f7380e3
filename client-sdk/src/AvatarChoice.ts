/**
 * Which avatar a player drives: the last one that the server took, and those asked for since. A server does not answer
 * `setAvatar` unless it refuses it, but answers in order: what it has not refused before a later pong, it took.
 */
export class AvatarChoice {
  /** before the first join what the application wants */
  #accepted: string | undefined;
  /** not answered yet, in order; times by the local clock, ms */
  #asked: { avatar: string; atMs: number }[] = [];
  /** of the join under way, or the last one */
  #joinedWith: string | undefined;

  constructor(avatar: string | undefined) {
    this.#accepted = avatar;
  }

  /** the one to drive, as far as is known; undefined for viewers */
  get current(): string | undefined {
    return this.#asked.at(-1)?.avatar ?? this.#accepted;
  }

  ask(avatar: string, nowMs: number): void {
    this.#asked.push({ avatar, atMs: nowMs });
  }

  /** Returns the one to join with. */
  join(): string | undefined {
    this.#joinedWith = this.current;
    return this.#joinedWith;
  }

  /** Returns what was asked for since the join, which is to be sent now. */
  handleWelcome(nowMs: number): string | undefined {
    const { current } = this;
    this.#accepted = this.#joinedWith;
    this.#asked = [];
    if (current === undefined || current === this.#joinedWith) return undefined;
    this.ask(current, nowMs);
    return current;
  }

  /** @param pingedAtMs local clock: everything asked before has its answer */
  handlePong(pingedAtMs: number): void {
    while (this.#asked.length > 0 && this.#asked[0]!.atMs < pingedAtMs) this.#accepted = this.#asked.shift()!.avatar;
  }

  /** @param avatar as the server names it; when it does not, the first that waits for an answer is meant */
  handleRefused(avatar: string | undefined): void {
    const named = this.#asked.findIndex((each) => each.avatar === avatar);
    this.#asked.splice(Math.max(0, named), 1);
  }

  /** Refused at the join. Returns whether another one is left to try: asked for since, or the last that was taken. */
  handleJoinRefused(): boolean {
    if (this.current === this.#joinedWith) this.#asked = [];
    return this.current !== this.#joinedWith;
  }
}
