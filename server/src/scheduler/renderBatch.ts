import { FacewireError } from '@facewire/proto';
import type { Picture, RenderedPicture, Renderer, RenderWanted } from '../contracts.ts';

/** Whether the device is to blame for a render, and none of its pictures. */
export function isDeviceFailure(reason: unknown): boolean {
  return reason instanceof FacewireError && reason.code === 'device_unavailable';
}

/**
 * Renders a batch; when that fails, each of its pictures alone, so that one bad avatar costs nobody else a frame; not
 * when the device is to blame. Never rejects: the results are in the order of the pictures.
 */
export async function renderBatch(
  renderer: Pick<Renderer, 'render'>,
  pictures: readonly Picture[],
  wanted: RenderWanted,
): Promise<PromiseSettledResult<RenderedPicture>[]> {
  try {
    const rendered = await renderer.render(pictures, wanted);
    if (rendered.length !== pictures.length) {
      throw new FacewireError('inference_failed', `a batch of ${pictures.length} pictures gave ${rendered.length}`);
    }
    return rendered.map((value) => ({ status: 'fulfilled', value }));
  } catch (reason) {
    if (pictures.length === 1 || isDeviceFailure(reason)) return pictures.map(() => ({ status: 'rejected', reason }));
  }
  const results: PromiseSettledResult<RenderedPicture>[] = [];
  for (const picture of pictures) results.push(...(await renderBatch(renderer, [picture], wanted)));
  return results;
}
