/** What the machine can afford. */
export interface Quality {
  name: 'high' | 'low';
  /** drawing buffer pixels per CSS pixel, at most … */
  pixelRatio: number;
  /** … and at least, when the machine is too slow */
  minPixelRatio: number;
  /** the floor's reflection is drawn anew in every so many-th frame */
  reflectEvery: number;
  /** taps of the reflection's blur, to either side */
  reflectTaps: number;
  shadows: boolean;
  /** pixels of the floor's reflection, width; its height is half of it */
  reflection: number;
  antialias: boolean;
  /** of textures, 1…16 */
  anisotropy: number;
  /** physically based materials, or plain Lambert shading */
  standardMaterials: boolean;
  /** what is asked of the server per screen */
  framesPerSecond: number;
  maxSize: number;
}

const HIGH: Quality = {
  name: 'high',
  pixelRatio: 1,
  minPixelRatio: 0.75,
  reflectEvery: 1,
  reflectTaps: 1,
  shadows: true,
  reflection: 1024,
  antialias: true,
  anisotropy: 8,
  standardMaterials: true,
  framesPerSecond: 30,
  maxSize: 512,
};

const LOW: Quality = {
  name: 'low',
  pixelRatio: 0.75,
  minPixelRatio: 0.45,
  reflectEvery: 3,
  reflectTaps: 0,
  shadows: false,
  reflection: 320,
  antialias: false,
  anisotropy: 1,
  standardMaterials: false,
  framesPerSecond: 15,
  maxSize: 256,
};

/**
 * Low on a software rasteriser, high elsewhere; `wanted` (the page's `?quality=`) decides otherwise.
 *
 * @param gpuName the unmasked renderer string, e.g. "ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device …"
 */
export function chooseQuality(gpuName: string, wanted: string | null, devicePixelRatio: number): Quality {
  const software = /swiftshader|llvmpipe|softpipe|software|basic render/i.test(gpuName);
  const low = wanted === 'low' || (wanted !== 'high' && software);
  if (low) return LOW;
  return { ...HIGH, pixelRatio: Math.min(2, Math.max(1, devicePixelRatio)) };
}

/**
 * The pixel ratio for the next while: smaller while frames take too long, larger again when there is time to spare.
 *
 * @param framesPerSecond measured since the last call
 */
export function adaptPixelRatio(
  current: number,
  framesPerSecond: number,
  { pixelRatio, minPixelRatio }: Pick<Quality, 'pixelRatio' | 'minPixelRatio'>,
): number {
  // The gap between both limits is wider than one step changes the rate, so that it comes to rest.
  if (framesPerSecond < 16) return Math.max(minPixelRatio, current * 0.88);
  if (framesPerSecond > 45) return Math.min(pixelRatio, current * 1.1);
  return current;
}

/** Name of the graphics processor, asked on a context of its own: antialiasing has to be decided before the real one. */
export function gpuName(): string {
  const context = document.createElement('canvas').getContext('webgl2');
  if (!context) return '';
  const extension = context.getExtension('WEBGL_debug_renderer_info');
  const name = String(context.getParameter(extension ? extension.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension('WEBGL_lose_context')?.loseContext();
  return name;
}
