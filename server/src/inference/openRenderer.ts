import { splitDevices } from './Device.ts';
import { type DeviceRenderer, MultiRenderer } from './MultiRenderer.ts';
import { OnnxRenderer, type OnnxRendererOptions } from './OnnxRenderer.ts';

/** Opens the device that the setting names, or several as one ("cuda:0,1"); a device that does not open ends it all. */
export async function openRenderer(options: OnnxRendererOptions): Promise<DeviceRenderer> {
  const settings = splitDevices(options.device ?? 'cpu');
  if (settings.length === 1) return OnnxRenderer.create(options);
  const renderers: OnnxRenderer[] = [];
  try {
    for (const device of settings) renderers.push(await OnnxRenderer.create({ ...options, device }));
    return new MultiRenderer({
      renderers,
      ...(options.onFallback && { onDeviceFailed: options.onFallback }),
    });
  } catch (error) {
    await Promise.all(renderers.map((renderer) => renderer.close()));
    throw error;
  }
}
