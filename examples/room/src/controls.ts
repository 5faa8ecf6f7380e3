import { MathUtils, type PerspectiveCamera } from 'three';
import { keepInside, type Obstacle, ROOM, START } from './scene/layout.ts';

/** metres per second; with Shift faster */
const SPEED = 2.6;
const FAST = 1.8;
/** radians per pixel of a drag */
const DRAG_TURN = 0.0036;
const LOCK_TURN = 0.0021;
const MAX_PITCH = 1.2;

const KEYS: Record<string, readonly [sideways: number, forwards: number]> = {
  KeyW: [0, 1],
  ArrowUp: [0, 1],
  KeyS: [0, -1],
  ArrowDown: [0, -1],
  KeyA: [-1, 0],
  KeyD: [1, 0],
};
const TURNS: Record<string, number> = { ArrowLeft: 1, ArrowRight: -1, KeyQ: 1, KeyE: -1 };

/**
 * Walks the camera through the room: W A S D and arrows; drag, or pointer lock after a double click, looks around.
 * On touch screens one finger looks and two fingers walk.
 */
export class FirstPersonControls {
  readonly #camera: PerspectiveCamera;
  readonly #element: HTMLElement;
  readonly #obstacles: readonly Obstacle[];
  readonly #pressed = new Set<string>();
  readonly #fingers = new Map<number, { x: number; y: number }>();
  readonly #listening = new AbortController();
  #yaw = 0;
  #pitch: number = START.pitch;
  #x: number = START.x;
  #z: number = START.z;
  #bob = 0;

  constructor(camera: PerspectiveCamera, element: HTMLElement, obstacles: readonly Obstacle[]) {
    this.#camera = camera;
    this.#element = element;
    this.#obstacles = obstacles;
    camera.rotation.order = 'YXZ';
    const options = { signal: this.#listening.signal };
    addEventListener('keydown', (event) => this.#handleKey(event, true), options);
    addEventListener('keyup', (event) => this.#handleKey(event, false), options);
    addEventListener('blur', () => this.#pressed.clear(), options);
    element.addEventListener('pointerdown', (event) => this.#handlePointerDown(event), options);
    element.addEventListener('pointermove', (event) => this.#handlePointerMove(event), options);
    for (const name of ['pointerup', 'pointercancel'] as const) {
      element.addEventListener(name, (event) => this.#fingers.delete(event.pointerId), options);
    }
    element.addEventListener('dblclick', () => this.#lockPointer(), options);
    this.update(0);
  }

  /** Goes somewhere at once (for tests and links). Radians. */
  placeAt(x: number, z: number, yaw = 0, pitch = 0): void {
    this.#x = x;
    this.#z = z;
    this.#yaw = yaw;
    this.#pitch = pitch;
    this.update(0);
  }

  /** @param seconds since the last call */
  update(seconds: number): void {
    const fast = this.#pressed.has('ShiftLeft') || this.#pressed.has('ShiftRight') ? FAST : 1;
    let sideways = 0;
    let forwards = 0;
    for (const key of this.#pressed) {
      const [x, z] = KEYS[key] ?? [0, 0];
      sideways += x;
      forwards += z;
      this.#yaw += (TURNS[key] ?? 0) * seconds * 1.6;
    }
    const length = Math.hypot(sideways, forwards);
    if (length > 0) {
      this.#walk((sideways / length) * SPEED * fast * seconds, (forwards / length) * SPEED * fast * seconds);
      this.#bob += seconds * 9 * fast;
    }
    this.#camera.position.set(this.#x, ROOM.eyeHeight + Math.sin(this.#bob) * 0.012, this.#z);
    this.#camera.rotation.set(this.#pitch, this.#yaw, 0);
  }

  /** Stops listening. */
  dispose(): void {
    this.#listening.abort();
  }

  #walk(sideways: number, forwards: number): void {
    const sine = Math.sin(this.#yaw);
    const cosine = Math.cos(this.#yaw);
    const x = this.#x + sideways * cosine - forwards * sine;
    const z = this.#z - sideways * sine - forwards * cosine;
    ({ x: this.#x, z: this.#z } = keepInside(x, z, this.#obstacles));
  }

  #look(dx: number, dy: number, gain: number): void {
    this.#yaw += dx * gain;
    this.#pitch = MathUtils.clamp(this.#pitch + dy * gain, -MAX_PITCH, MAX_PITCH);
  }

  #handleKey(event: KeyboardEvent, down: boolean): void {
    // Wherever the focus is by now, who lets go stops. macOS tells of no key that is let go while Meta is held.
    if (event.key === 'Meta') this.#pressed.clear();
    if (!down) {
      this.#pressed.delete(event.code);
      return;
    }
    // Typing into the panel is not walking.
    if (event.target instanceof HTMLInputElement && event.target.type === 'text') return;
    if (event.target instanceof HTMLInputElement && event.code.startsWith('Arrow')) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.#pressed.add(event.code);
  }

  #handlePointerDown(event: PointerEvent): void {
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.#element.setPointerCapture(event.pointerId);
  }

  #handlePointerMove(event: PointerEvent): void {
    if (document.pointerLockElement === this.#element) {
      this.#look(-event.movementX, -event.movementY, LOCK_TURN);
      return;
    }
    const last = this.#fingers.get(event.pointerId);
    if (!last) return;
    const dx = event.clientX - last.x;
    const dy = event.clientY - last.y;
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    // A drag takes hold of the room: it moves with the pointer.
    if (this.#fingers.size < 2) this.#look(dx, dy, DRAG_TURN);
    else this.#walk(dx * 0.006, -dy * 0.006);
  }

  async #lockPointer(): Promise<void> {
    try {
      await this.#element.requestPointerLock();
    } catch {
      // Refused, as in an embedded page: dragging still works.
    }
  }
}
