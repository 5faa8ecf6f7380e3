import { CanvasTexture, Sprite, SpriteMaterial, SRGBColorSpace } from 'three';

export interface NamePlateOptions {
  /** height in metres; default 0.16 */
  height?: number;
  /** CSS font family */
  font?: string;
  /** CSS colours */
  color?: string;
  background?: string;
  /** colour of the dot before the name; none when left out */
  dot?: string;
}

/** pixels of the canvas per line */
const LINE = 64;

/** A name that always faces the camera. Set `text` to change it; `dispose()` frees texture and material. */
export class NamePlate extends Sprite {
  readonly #options: Required<Omit<NamePlateOptions, 'dot'>> & { dot: string | undefined };
  /** undefined until the first is drawn, which may be an empty one */
  #text: string | undefined;

  constructor(text: string, options: NamePlateOptions = {}) {
    super(new SpriteMaterial({ transparent: true, depthWrite: false, toneMapped: false }));
    this.#options = {
      height: 0.16,
      font: 'system-ui, sans-serif',
      color: '#f4f7fb',
      background: 'rgba(10, 14, 20, 0.72)',
      dot: undefined,
      ...options,
    };
    this.text = text;
  }

  get text(): string {
    return this.#text ?? '';
  }

  set text(text: string) {
    if (text === this.#text) return;
    this.#text = text;
    const canvas = drawNamePlate(text, this.#options);
    this.material.map?.dispose();
    const map = new CanvasTexture(canvas);
    map.colorSpace = SRGBColorSpace;
    if (!this.material.map) this.material.needsUpdate = true;
    this.material.map = map;
    this.scale.set((this.#options.height * canvas.width) / canvas.height, this.#options.height, 1);
  }

  /** May be called twice. */
  override dispose(): void {
    this.material.map?.dispose();
    this.material.dispose();
    this.removeFromParent();
  }
}

function drawNamePlate(
  text: string,
  { font, color, background, dot }: { font: string; color: string; background: string; dot: string | undefined },
): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d')!;
  const face = `600 ${LINE * 0.52}px ${font}`;
  context.font = face;
  const padding = LINE * 0.42;
  const dotSpace = dot ? LINE * 0.42 : 0;
  canvas.width = Math.ceil(context.measureText(text).width + 2 * padding + dotSpace);
  canvas.height = LINE;
  // A resized canvas forgets its font.
  context.font = face;
  context.textBaseline = 'middle';
  context.fillStyle = background;
  context.beginPath();
  context.roundRect(0, 0, canvas.width, canvas.height, LINE / 2);
  context.fill();
  if (dot) {
    context.fillStyle = dot;
    context.beginPath();
    context.arc(padding + LINE * 0.06, LINE / 2, LINE * 0.11, 0, 2 * Math.PI);
    context.fill();
  }
  context.fillStyle = color;
  context.fillText(text, padding + dotSpace, LINE * 0.53);
  return canvas;
}
