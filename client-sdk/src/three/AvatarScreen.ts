import type { View } from '@facewire/proto';
import {
  Frustum,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  type Object3D,
  type PerspectiveCamera,
  PlaneGeometry,
  Sphere,
  type Texture,
  Vector3,
} from 'three';
import type { AvatarClient } from '../AvatarClient.ts';
import type { AvatarStream } from '../AvatarStream.ts';
import { type DecodedPicture, FrameDecoder } from '../decoding/FrameDecoder.ts';
import { throwLater } from '../throwLater.ts';
import { DrawRate } from './DrawRate.ts';
import { FrameTexture } from './FrameTexture.ts';
import {
  chooseRate,
  chooseSize,
  DEFAULT_FOLLOW,
  type FollowOptions,
  followView,
  projectedPixels,
} from './screenMath.ts';

/** Size, rate and view are decided so often, ms. */
const DECIDE_INTERVAL_MS = 66;
/** Pixels, before anything is known. */
const FALLBACK_SIZE = 128;

export interface AvatarScreenOptions {
  /** metres; default 1 × 1. Frames are square and fill it */
  width?: number;
  height?: number;
  /** frames per second while the screen is in front of the viewer, 1…60; default 30 */
  framesPerSecond?: number;
  /** never ask for more pixels than this; default 512 */
  maxSize?: number;
  /** of the frame texture, 1…16; default 4 */
  anisotropy?: number;
  /** shown while nobody is on the screen; not disposed with it. Its v runs up, as usual in three.js */
  idle?: Texture;
  follow?: Partial<FollowOptions>;
}

/**
 * An in-game screen that shows one participant: a plane that faces +z. Call `update(camera, …)` once per rendered
 * frame. `dispose()` frees the texture, geometry, material, decoder and subscription.
 */
export class AvatarScreen extends Mesh<PlaneGeometry, MeshBasicMaterial> {
  /** 'follow': the head is seen from where the camera is; or a fixed view by hand, radians */
  view: View | 'follow' = 'follow';
  /**
   * Called with every decoded picture before it goes to the GPU; the picture stays the screen's, and is shown even when
   * this throws: the error is rethrown in a task of its own.
   */
  onPicture: ((picture: DecodedPicture) => void) | undefined;
  readonly #options: Required<Omit<AvatarScreenOptions, 'idle' | 'follow' | 'anisotropy'>>;
  readonly #follow: FollowOptions;
  readonly #frames: FrameTexture;
  readonly #idle: Texture | undefined;
  #client: AvatarClient | undefined;
  #stream: AvatarStream | undefined;
  #decoder: FrameDecoder | undefined;
  #decidedAtMs = -Infinity;
  readonly #drawn = new DrawRate();
  /** height on the display when it was last looked at */
  #pixels = FALLBACK_SIZE;

  constructor({ idle, follow, anisotropy = 4, ...options }: AvatarScreenOptions = {}) {
    const { width = 1, height = 1, framesPerSecond = 30, maxSize = 512 } = options;
    super(new PlaneGeometry(width, height), new MeshBasicMaterial({ toneMapped: false }));
    this.#options = { width, height, framesPerSecond, maxSize };
    this.#follow = { ...DEFAULT_FOLLOW, ...follow };
    this.#idle = idle;
    this.#frames = new FrameTexture(anisotropy);
    this.#showIdle();
  }

  /** what the screen shows at present */
  get stream(): AvatarStream | undefined {
    return this.#stream;
  }

  get participant(): string | undefined {
    return this.#stream?.participant;
  }

  /** true while frames are on the screen */
  get live(): boolean {
    return this.material.map === this.#frames;
  }

  set maxSize(size: number) {
    this.#options.maxSize = size;
  }

  set framesPerSecond(rate: number) {
    this.#options.framesPerSecond = rate;
  }

  /**
   * Shows a participant; what was shown before is ended. The stream's `error` tells of pictures that cannot be decoded.
   * Throws what `AvatarClient.subscribe` throws.
   */
  show(client: AvatarClient, participant: string): AvatarStream {
    this.hide();
    const { framesPerSecond, maxSize } = this.#options;
    const sizes = client.session?.sizes ?? [FALLBACK_SIZE];
    const size = chooseSize(this.#pixels, sizes[0]!, sizes, maxSize);
    const rate = chooseRate(true, this.#pixels, framesPerSecond, this.#drawn.perSecond);
    const stream = client.subscribe(participant, { size, framesPerSecond: rate });
    this.#client = client;
    this.#stream = stream;
    this.#decoder = new FrameDecoder(stream, { handlePicture: (picture) => this.#handlePicture(picture) });
    stream.on('ended', () => {
      if (this.#stream === stream) this.hide();
    });
    this.#decidedAtMs = -Infinity;
    return stream;
  }

  /** Ends the stream and shows the idle picture. May be called twice. */
  hide(): void {
    this.#decoder?.close();
    this.#decoder = undefined;
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.close();
    this.#showIdle();
  }

  /**
   * Follows the camera: view, size and rate of the stream. A screen out of sight gets no frames: behind the camera, seen
   * from behind, not `visible` (itself or what it hangs on), or without extent (scaled to zero).
   *
   * @param viewportHeight of what the viewer sees, pixels: viewportHeight(renderer)
   */
  update(camera: PerspectiveCamera, viewportHeight: number, nowMs: number = performance.now()): void {
    this.#drawn.handleDrawn(nowMs);
    if (nowMs - this.#decidedAtMs < DECIDE_INTERVAL_MS) return;
    this.#decidedAtMs = nowMs;
    const local = this.worldToLocal(camera.getWorldPosition(position));
    const scale = this.getWorldScale(worldScale).y;
    // From a screen scaled to zero, as one that pops up is at first, the camera is nowhere.
    const placed = Number.isFinite(local.length());
    if (placed) {
      const fovY = (camera.fov * Math.PI) / 180;
      this.#pixels = projectedPixels(this.#options.height * scale, local.length() * scale, fovY, viewportHeight);
    }
    projection.multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse);
    frustum.setFromProjectionMatrix(projection);
    bounds.center.setFromMatrixPosition(this.matrixWorld);
    bounds.radius = (Math.hypot(this.#options.width, this.#options.height) / 2) * scale;
    const visible = placed && isShown(this) && local.z > 0 && frustum.intersectsSphere(bounds);

    const stream = this.#stream;
    if (!stream) return;
    const { maxSize, framesPerSecond } = this.#options;
    const sizes = this.#client?.session?.sizes ?? [];
    if (this.view !== 'follow') stream.setView(this.view);
    else if (placed) stream.setView(followView(local, this.#follow));
    if (visible) stream.setSize(chooseSize(this.#pixels, stream.wanted.size, sizes, maxSize));
    stream.setRate(chooseRate(visible, this.#pixels, framesPerSecond, this.#drawn.perSecond));
  }

  /** Frees texture, geometry, material, decoder and subscription; not the idle texture. May be called twice. */
  override dispose(): void {
    this.hide();
    this.onPicture = undefined;
    this.#frames.dispose();
    this.geometry.dispose();
    this.material.dispose();
    this.removeFromParent();
  }

  #handlePicture(picture: DecodedPicture): void {
    try {
      this.onPicture?.(picture);
    } catch (error) {
      throwLater(error);
    }
    this.#frames.setFrame(picture.image);
    if (!this.live) this.#useMap(this.#frames, 'down');
  }

  #showIdle(): void {
    this.#useMap(this.#idle, 'up');
  }

  #useMap(map: Texture | undefined, v: 'up' | 'down'): void {
    const { material, geometry } = this;
    if (!material.map !== !map) material.needsUpdate = true;
    material.map = map ?? null;
    material.color.set(map ? 0xffffff : 0x05070a);
    // PlaneGeometry: vertices 0 and 1 are the upper edge, 2 and 3 the lower one.
    const uv = geometry.attributes.uv!;
    const top = v === 'up' ? 1 : 0;
    for (let vertex = 0; vertex < 4; vertex++) uv.setY(vertex, vertex < 2 ? top : 1 - top);
    uv.needsUpdate = true;
  }
}

/** three.js draws nothing below what is not `visible`. */
function isShown(object: Object3D): boolean {
  return object.visible && (object.parent === null || isShown(object.parent));
}

const position = new Vector3();
const worldScale = new Vector3();
const projection = new Matrix4();
const frustum = new Frustum();
const bounds = new Sphere();
