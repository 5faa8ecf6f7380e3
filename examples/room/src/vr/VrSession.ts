import { HeadsetMotion } from '@facewire/client-sdk';
import type { Motion } from '@facewire/proto';
import { Group, type PerspectiveCamera, type Scene, Vector3, type WebGLRenderer } from 'three';
import type { Obstacle } from '../scene/layout.ts';
import { type Head, type Rig, SnapTurn, type Stick, turnAbout, walk } from './locomotion.ts';

/** Thumbsticks in the layout `xr-standard`. */
const STICK_AXES = [2, 3] as const;

export interface VrOptions {
  renderer: WebGLRenderer;
  scene: Scene;
  camera: PerspectiveCamera;
  obstacles: readonly Obstacle[];
}

/** Whether this browser can show the room in a headset. */
export async function isVrSupported(): Promise<boolean> {
  return (await navigator.xr?.isSessionSupported('immersive-vr').catch(() => false)) ?? false;
}

/** A visit in VR: the left stick walks, the right one turns, and the head is a player's head. */
export class VrSession {
  /** Called once, when the visitor is back in front of the page, with where that was in the room. */
  onEnd: ((where: Head) => void) | undefined;
  readonly #options: VrOptions;
  readonly #session: XRSession;
  readonly #group = new Group();
  readonly #snap = new SnapTurn();
  readonly #headset = new HeadsetMotion();
  #rig: Rig;
  #motion: Motion | undefined;

  private constructor(options: VrOptions, session: XRSession, start: Rig) {
    this.#options = options;
    this.#session = session;
    this.#rig = start;
    this.#group.add(options.camera);
    options.scene.add(this.#group);
    this.#place();
    session.addEventListener('end', () => this.#handleEnd(), { once: true });
  }

  /** Where the visitor stands at the beginning is `start`. Rejects when the browser or the visitor refuses. */
  static async begin(options: VrOptions, start: Rig): Promise<VrSession> {
    const session = await navigator.xr!.requestSession('immersive-vr', {
      requiredFeatures: ['local-floor'],
      optionalFeatures: ['bounded-floor'],
    });
    const { xr } = options.renderer;
    xr.enabled = true;
    xr.setReferenceSpaceType('local-floor');
    try {
      await xr.setSession(session);
    } catch (error) {
      // Else the visitor would be left in the dark.
      xr.enabled = false;
      await session.end().catch(() => undefined);
      throw error;
    }
    return new VrSession(options, session, start);
  }

  end(): Promise<void> {
    return this.#session.end();
  }

  /** the visitor's head as a face's motion; undefined before it was seen */
  get motion(): Motion | undefined {
    return this.#motion;
  }

  update(seconds: number, frame: XRFrame, nowMs: number): void {
    const { renderer, obstacles } = this.#options;
    const space = renderer.xr.getReferenceSpace();
    const pose = space ? frame.getViewerPose(space) : undefined;
    if (pose) this.#motion = this.#headset.read(pose.transform, nowMs);
    for (const { gamepad, handedness } of this.#session.inputSources) {
      const stick: Stick = { x: gamepad?.axes[STICK_AXES[0]] ?? 0, y: gamepad?.axes[STICK_AXES[1]] ?? 0 };
      if (handedness === 'left') this.#rig = walk(this.#rig, this.#head(), stick, seconds, obstacles);
      if (handedness === 'right') this.#rig = turnAbout(this.#rig, this.#head(), this.#snap.handle(stick.x));
    }
    this.#place();
  }

  #handleEnd(): void {
    const { renderer, scene, camera } = this.#options;
    const where = this.#head();
    this.#group.remove(camera);
    scene.remove(this.#group);
    renderer.xr.enabled = false;
    this.onEnd?.(where);
  }

  #head(): Head {
    const { camera } = this.#options;
    camera.getWorldPosition(position);
    camera.getWorldDirection(direction);
    return { x: position.x, z: position.z, heading: Math.atan2(-direction.x, -direction.z) };
  }

  #place(): void {
    const { x, z, turn } = this.#rig;
    this.#group.position.set(x, 0, z);
    this.#group.rotation.set(0, turn, 0);
    this.#group.updateMatrixWorld(true);
  }
}

const position = new Vector3();
const direction = new Vector3();
