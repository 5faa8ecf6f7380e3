/** What the placement knows of a device. */
export interface PlacementDevice {
  /** avatars that its bank holds */
  slots: number;
  /** avatars whose pictures it draws in time, asked anew each time; undefined: not known, and then its slots */
  capacity?: () => number | undefined;
}

export interface DevicePlacementOptions {
  /**
   * An avatar that was not drawn while places were asked for so many times for each does not count any more, default 4000:
   * a minute of 30 frames/s, for which is asked before and when they are drawn.
   */
  idleTurns?: number;
}

/** Avatars that belong on one device. One that is drawn for no room is a room by itself, without a name. */
interface Room {
  readonly name: string | undefined;
  /** the device to which its avatars go */
  home: number;
  readonly avatars: Set<string>;
}

interface Place {
  device: number;
  /** the working device that it came from, until arrived() */
  from: number | undefined;
  room: Room;
  /** when it was drawn last, and when for its own room: counts of place() */
  turn: number;
  ownTurn: number;
}

/**
 * Which device draws which avatar. An avatar sticks to its device, where its tensors lie, and a room's avatars to one
 * device, the room's home: where, when it came, the smallest share of what a device takes was taken (of equals the first).
 *
 * - *Full.* A device takes as many avatars as it has slots, and no more than it draws in time as long as another one does.
 *   When a room's home is full for one avatar more, the whole room moves to the emptiest device that takes it all; where
 *   none does, only the newcomer goes elsewhere, and comes home when there is place. So one that is larger than a device is
 *   spread, and a room moves only when somebody came, or when its device is found to be slower than was thought.
 * - *Taken up.* When no slot is left anywhere the avatar that was drawn least recently loses its own. Who has not been
 *   drawn for long does not count, so that those who left are in nobody's way.
 * - *Failed.* A room moves as a whole, the largest first. When the device returns, whole rooms even the shares.
 * - *In two rooms.* An avatar belongs to the room for which it was drawn first, and stays where it is when it is drawn for
 *   another, to which it belongs when the first has not drawn it for long.
 *
 * To move is to be listed elsewhere: an upload follows when the avatar is next drawn. Remembers avatars that have a slot,
 * and rooms that have such avatars. Pure but for that: no clock, no device.
 */
export class DevicePlacement {
  readonly #devices: PlacementDevice[];
  readonly #counts: number[];
  readonly #idleTurns: number;
  readonly #avatars = new Map<string, Place>();
  readonly #rooms = new Map<string, Room>();
  readonly #failed = new Set<number>();
  #turn = 0;

  constructor(devices: readonly PlacementDevice[], { idleTurns = 4000 }: DevicePlacementOptions = {}) {
    if (devices.length === 0) throw new RangeError('a placement needs a device');
    this.#devices = [...devices];
    this.#counts = devices.map(() => 0);
    this.#idleTurns = idleTurns;
  }

  /** indices of the devices that have not failed */
  get working(): number[] {
    return this.#devices.flatMap((_, index) => (this.#failed.has(index) ? [] : [index]));
  }

  /** avatars placed on each device */
  get counts(): number[] {
    return [...this.#counts];
  }

  /** the rooms that have avatars on devices, and the home of each */
  get rooms(): ReadonlyMap<string, number> {
    return new Map(Array.from(this.#rooms, ([name, { home }]) => [name, home]));
  }

  /** The device for an avatar that is drawn now, for that room; undefined when all have failed. */
  place(avatar: string, room?: string): number | undefined {
    this.#turn++;
    const known = this.#avatars.get(avatar);
    if (known) {
      this.#drawn(avatar, known, room);
      return known.device;
    }
    if (this.working.length === 0) return undefined;
    this.#forgetIdle();
    const its = room === undefined ? undefined : this.#rooms.get(room);
    const device = this.#deviceFor(its);
    const place = { device, from: undefined, turn: this.#turn, ownTurn: this.#turn };
    this.#counts[device]!++;
    this.#join(avatar, place, its ?? { name: room, home: device, avatars: new Set() });
    return device;
  }

  /** Where the avatar is placed; undefined when it is nowhere. */
  deviceOf(avatar: string): number | undefined {
    return this.#avatars.get(avatar)?.device;
  }

  /** The working device that an avatar was moved from, where it may still lie; undefined once it arrived. */
  leaving(avatar: string): number | undefined {
    return this.#avatars.get(avatar)?.from;
  }

  /** An avatar that was moved lies on its device now. */
  arrived(avatar: string): void {
    const place = this.#avatars.get(avatar);
    if (place) place.from = undefined;
  }

  forget(avatar: string): void {
    const place = this.#avatars.get(avatar);
    if (place === undefined) return;
    this.#counts[place.device]!--;
    this.#avatars.delete(avatar);
    this.#leaveRoom(avatar, place.room);
  }

  /** A device more, which counts as failed until restore(). Returns its index. */
  add(device: PlacementDevice): number {
    this.#counts.push(0);
    const index = this.#devices.push(device) - 1;
    this.#failed.add(index);
    return index;
  }

  /** A device that had failed draws again. The others give it whole rooms, the largest first, but none of their own share. */
  restore(device: number): void {
    if (!this.#failed.delete(device)) return;
    const { working } = this;
    const takes = working.reduce((sum, index) => sum + this.#takes(index), 0);
    const share = (index: number) => Math.ceil((this.#avatars.size * this.#takes(index)) / takes);
    for (const room of this.#largestFirst()) {
      const { home, avatars } = room;
      const kept = this.#counts[home]! - avatars.size >= share(home);
      if (kept && avatars.size <= this.#free(device)) this.#moveRoom(room, device);
    }
  }

  /** Takes a device out; its rooms move as a whole, where that can be. */
  fail(device: number): void {
    this.#failed.add(device);
    for (const place of this.#avatars.values()) if (place.from === device) place.from = undefined;
    for (const room of this.#largestFirst()) {
      if (room.home === device) this.#rehome(room);
      for (const avatar of room.avatars) this.#rescue(avatar, device);
    }
  }

  #drawn(avatar: string, place: Place, name: string | undefined): void {
    place.turn = this.#turn;
    const another = name !== undefined && name !== place.room.name;
    if (another && (place.room.name === undefined || this.#isLongAgo(place.ownTurn))) {
      this.#leaveRoom(avatar, place.room);
      this.#join(avatar, place, this.#rooms.get(name) ?? { name, home: place.device, avatars: new Set() });
    }
    const { room } = place;
    if (name !== room.name) return;
    place.ownTurn = this.#turn;
    if (place.device !== room.home && this.#room(room.home) > 0) this.#move(place, room.home);
    else if (this.#room(place.device) < 0) this.#relieve(place);
  }

  /** A device has more than it draws in time, which may be known only now: the room goes, or else the avatar, to one that has not. */
  #relieve(place: Place): void {
    const whole = this.#emptiest((device) => this.#room(device) >= this.#absent(place.room, device));
    if (whole !== undefined) {
      this.#moveRoom(place.room, whole);
      return;
    }
    const other = this.#emptiest((device) => this.#room(device) > 0);
    if (other !== undefined) this.#move(place, other);
  }

  /** For an avatar more of a room, or of a new one. A slot is free there afterwards. */
  #deviceFor(room: Room | undefined): number {
    if (room && this.#room(room.home) > 0) return room.home;
    const whole = this.#emptiest((device) => this.#room(device) > this.#absent(room, device));
    if (whole !== undefined) {
      if (room) this.#moveRoom(room, whole);
      return whole;
    }
    const somewhere = this.#emptiest((device) => this.#free(device) > 0);
    if (somewhere !== undefined) return somewhere;
    let [oldest, oldestPlace] = this.#avatars.entries().next().value!;
    for (const [avatar, place] of this.#avatars) {
      if (place.turn < oldestPlace.turn) [oldest, oldestPlace] = [avatar, place];
    }
    this.forget(oldest);
    return oldestPlace.device;
  }

  /** A home for a room whose own has failed, and all of it there if it takes it all. */
  #rehome(room: Room): void {
    const whole = this.#emptiest((device) => this.#room(device) >= this.#absent(room, device));
    if (whole !== undefined) this.#moveRoom(room, whole);
    else room.home = this.#emptiest(() => true) ?? room.home;
  }

  /** An avatar that is on a failed device goes home or, with none there, to any free slot; without one, to none. */
  #rescue(avatar: string, failed: number): void {
    const place = this.#avatars.get(avatar)!;
    if (place.device !== failed) return;
    const { home } = place.room;
    const atHome = !this.#failed.has(home) && this.#room(home) > 0;
    const device = atHome ? home : this.#emptiest((index) => this.#free(index) > 0);
    if (device === undefined) this.forget(avatar);
    else this.#move(place, device);
  }

  #moveRoom(room: Room, device: number): void {
    room.home = device;
    for (const avatar of room.avatars) this.#move(this.#avatars.get(avatar)!, device);
  }

  #move(place: Place, device: number): void {
    if (place.device === device) return;
    this.#counts[place.device]!--;
    this.#counts[device]!++;
    // One that is moved on before it arrived still lies where it was.
    place.from ??= this.#failed.has(place.device) ? undefined : place.device;
    if (place.from === device) place.from = undefined;
    place.device = device;
  }

  #join(avatar: string, place: Omit<Place, 'room'>, room: Room): void {
    room.avatars.add(avatar);
    if (room.name !== undefined) this.#rooms.set(room.name, room);
    this.#avatars.set(avatar, Object.assign(place, { room }));
  }

  #leaveRoom(avatar: string, { name, avatars }: Room): void {
    avatars.delete(avatar);
    if (avatars.size === 0 && name !== undefined) this.#rooms.delete(name);
  }

  #forgetIdle(): void {
    for (const [avatar, { turn }] of this.#avatars) if (this.#isLongAgo(turn)) this.forget(avatar);
  }

  #isLongAgo(turn: number): boolean {
    return this.#turn - turn > this.#idleTurns * this.#avatars.size;
  }

  /** the avatars that a device takes before it is full */
  #takes(device: number): number {
    const { slots, capacity } = this.#devices[device]!;
    return Math.min(slots, capacity?.() ?? slots);
  }

  /** how many more it takes; negative when it has more than it draws in time */
  #room(device: number): number {
    return this.#takes(device) - this.#counts[device]!;
  }

  #free(device: number): number {
    return this.#devices[device]!.slots - this.#counts[device]!;
  }

  /** how many avatars of a room are on other devices */
  #absent(room: Room | undefined, device: number): number {
    let absent = 0;
    for (const avatar of room?.avatars ?? []) if (this.deviceOf(avatar) !== device) absent++;
    return absent;
  }

  #largestFirst(): Room[] {
    const rooms = new Set(Array.from(this.#avatars.values(), ({ room }) => room));
    return [...rooms].sort((a, b) => b.avatars.size - a.avatars.size);
  }

  #emptiest(suits: (device: number) => boolean): number | undefined {
    const share = (device: number) => this.#counts[device]! / this.#takes(device);
    return this.working
      .filter(suits)
      .reduce<number | undefined>(
        (best, device) => (best === undefined || share(device) < share(best) ? device : best),
        undefined,
      );
  }
}
