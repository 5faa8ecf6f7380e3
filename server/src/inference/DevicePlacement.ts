/** What the placement knows of a device. */
export interface PlacementDevice {
  /** avatars that its bank holds */
  slots: number;
}

/**
 * Which device draws which avatar. An avatar sticks to its device, where its tensors lie; a new one goes where the
 * smallest share of the slots is taken (of equals the first). When a device has no slot left its least recently drawn
 * avatar loses its place, as it does in the bank. Avatars of a device that failed are placed anew, the next time that
 * they are drawn, and it gets some back when it returns. Pure but for its own memory: no clock, no device.
 */
export class DevicePlacement {
  readonly #devices: PlacementDevice[];
  /** of each device its avatars, least recently drawn first */
  readonly #avatars: Set<string>[];
  readonly #deviceOf = new Map<string, number>();
  readonly #failed = new Set<number>();

  constructor(devices: readonly PlacementDevice[]) {
    if (devices.length === 0) throw new RangeError('a placement needs a device');
    this.#devices = [...devices];
    this.#avatars = devices.map(() => new Set());
  }

  /** indices of the devices that have not failed */
  get working(): number[] {
    return this.#devices.flatMap((_, index) => (this.#failed.has(index) ? [] : [index]));
  }

  /** avatars placed on each device */
  get counts(): number[] {
    return this.#avatars.map(({ size }) => size);
  }

  /** The device for an avatar that is drawn now; undefined when all have failed. */
  place(avatar: string): number | undefined {
    const known = this.#deviceOf.get(avatar);
    const device = known ?? this.#emptiest();
    if (device === undefined) return undefined;
    const avatars = this.#avatars[device]!;
    // Drawn most recently: it goes to the end.
    avatars.delete(avatar);
    if (avatars.size >= this.#devices[device]!.slots) {
      const oldest = avatars.values().next().value;
      if (oldest !== undefined) this.forget(oldest);
    }
    avatars.add(avatar);
    this.#deviceOf.set(avatar, device);
    return device;
  }

  forget(avatar: string): void {
    const device = this.#deviceOf.get(avatar);
    if (device === undefined) return;
    this.#avatars[device]!.delete(avatar);
    this.#deviceOf.delete(avatar);
  }

  /** A device more, which counts as failed until restore(). Returns its index. */
  add(device: PlacementDevice): number {
    this.#avatars.push(new Set());
    const index = this.#devices.push(device) - 1;
    this.#failed.add(index);
    return index;
  }

  /**
   * A device that had failed draws again. The others give it its share: of each those avatars that were drawn least
   * recently lose their place and are placed anew when they are next drawn.
   */
  restore(device: number): void {
    if (!this.#failed.delete(device)) return;
    const avatars = this.working.reduce((sum, index) => sum + this.#avatars[index]!.size, 0);
    const slots = this.working.reduce((sum, index) => sum + this.#devices[index]!.slots, 0);
    for (const other of this.working) {
      const share = Math.ceil((avatars * this.#devices[other]!.slots) / slots);
      for (const avatar of [...this.#avatars[other]!].slice(0, Math.max(0, this.#avatars[other]!.size - share))) {
        this.forget(avatar);
      }
    }
  }

  /** Takes a device out; its avatars move when they are next drawn. */
  fail(device: number): void {
    this.#failed.add(device);
    for (const avatar of [...this.#avatars[device]!]) this.forget(avatar);
  }

  #emptiest(): number | undefined {
    const share = (device: number) => this.#avatars[device]!.size / this.#devices[device]!.slots;
    return this.working.reduce<number | undefined>(
      (best, device) => (best === undefined || share(device) < share(best) ? device : best),
      undefined,
    );
  }
}
