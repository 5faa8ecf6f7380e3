import { LinearFilter, SRGBColorSpace, Texture } from 'three';

/**
 * A texture that shows decoded frames and frees each one as soon as it is on the GPU, or as soon as a newer one
 * replaces it before that: a VideoDecoder that gets its frames back late stalls.
 *
 * Row 0 of a frame is its top and stays so in the texture (ImageBitmap ignores UNPACK_FLIP_Y): use it with texture
 * coordinates whose v runs down.
 */
export class FrameTexture extends Texture {
  #frame: VideoFrame | ImageBitmap | undefined;
  #width = 0;
  #height = 0;

  /** @param anisotropy 1…16: sharper when seen at an angle; dear on software rasterisers */
  constructor(anisotropy = 4) {
    super();
    this.colorSpace = SRGBColorSpace;
    this.flipY = false;
    this.magFilter = LinearFilter;
    // No mipmaps: a screen asks for frames of the size at which it appears, and three.js cannot count the levels of a
    // VideoFrame, which has no `width`.
    this.minFilter = LinearFilter;
    this.generateMipmaps = false;
    this.anisotropy = anisotropy;
    this.onUpdate = () => this.#release();
  }

  /** true once a frame was given */
  get hasFrame(): boolean {
    return this.#width > 0;
  }

  /** Takes the frame over: it is closed here. */
  setFrame(frame: VideoFrame | ImageBitmap): void {
    this.#release();
    const width = 'displayWidth' in frame ? frame.displayWidth : frame.width;
    const height = 'displayHeight' in frame ? frame.displayHeight : frame.height;
    // Texture storage is immutable in WebGL 2: another size needs another texture.
    if (this.hasFrame && (width !== this.#width || height !== this.#height)) super.dispose();
    this.#width = width;
    this.#height = height;
    this.#frame = frame;
    this.image = frame;
    this.needsUpdate = true;
  }

  override dispose(): void {
    this.#release();
    super.dispose();
  }

  #release(): void {
    this.#frame?.close();
    this.#frame = undefined;
  }
}
