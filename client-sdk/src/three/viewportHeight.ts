import type { WebGLRenderer } from 'three';

/** Height in pixels of what one eye sees: of the drawing buffer, in VR of an eye's part of the headset's. */
export function viewportHeight(renderer: WebGLRenderer): number {
  const eye = renderer.xr.isPresenting ? renderer.xr.getCamera().cameras[0] : undefined;
  return eye?.viewport?.w || renderer.domElement.height;
}
