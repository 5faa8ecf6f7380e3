import { splitDevices } from './Device.ts';
import { type DeviceRenderer, MultiRenderer } from './MultiRenderer.ts';
import { OnnxRenderer, type OnnxRendererOptions } from './OnnxRenderer.ts';
import { RecordingGate } from './RecordingGate.ts';

/**
 * Opens the device that the setting names, or several as one ("cuda:0,1"); a device that does not open ends it all. The
 * CPU stands by for GPUs: when all of them have failed it draws, slowly, until one returns.
 */
export async function openRenderer(asked: OnnxRendererOptions): Promise<DeviceRenderer> {
  const options = { gate: new RecordingGate(), ...asked };
  const settings = splitDevices(options.device ?? 'cpu');
  const renderers: OnnxRenderer[] = [];
  try {
    for (const device of settings) renderers.push(await OnnxRenderer.create({ ...options, device }));
    const first = renderers[0]!;
    if (renderers.length === 1 && first.device === 'cpu') return first;
    return new MultiRenderer({
      renderers,
      // By the name of what was opened: `auto` may have passed others over, and a precision was proven.
      reopen: (index) => {
        const { device, precision } = renderers[index]!;
        return OnnxRenderer.create({ ...options, device, precision });
      },
      // A precision that was asked for was asked for the GPUs.
      openStandby: () => OnnxRenderer.create({ ...options, device: 'cpu', precision: 'auto' }),
      ...(options.onFallback && { onChange: options.onFallback }),
    });
  } catch (error) {
    await Promise.all(renderers.map((renderer) => renderer.close()));
    throw error;
  }
}
