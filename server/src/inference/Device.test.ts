import { FacewireError } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { type Device, deviceCandidates, deviceName, openFirst, probeDevices } from './Device.ts';

const ALL = ['CUDAExecutionProvider', 'WebGpuExecutionProvider', 'CPUExecutionProvider'];
const gpuHost = { providers: ALL, cudaLibrary: true, platform: 'linux' };
const plainHost = { providers: ALL, cudaLibrary: false, platform: 'linux' };
const names = (setting: string, facts = plainHost) => deviceCandidates(setting, facts).map(deviceName);

describe('deviceCandidates', () => {
  it('takes the device that was asked for, and no other', () => {
    expect(names('cpu')).toEqual(['cpu']);
    expect(names('webgpu')).toEqual(['webgpu']);
    expect(names('cuda', gpuHost)).toEqual(['cuda']);
    expect(names('cuda:3', gpuHost)).toEqual(['cuda:3']);
  });

  it('auto prefers a GPU that seems usable and always ends with the CPU', () => {
    expect(names('auto')).toEqual(['cpu']);
    expect(names('auto', gpuHost)).toEqual(['cuda', 'cpu']);
    expect(names('auto', { ...plainHost, platform: 'darwin' })).toEqual(['webgpu', 'cpu']);
  });

  it('says what to do about a device that is not there', () => {
    expect(() => deviceCandidates('cuda', plainHost)).toThrow(
      expect.objectContaining({ code: 'device_unavailable', remedy: expect.stringContaining('npm run setup:cuda') }),
    );
    expect(() => deviceCandidates('webgpu', { ...plainHost, providers: ['CPUExecutionProvider'] })).toThrow(
      expect.objectContaining({ code: 'device_unavailable' }),
    );
  });

  it('refuses other words', () => {
    for (const word of ['gpu', 'cuda:', 'cuda:-1', 'cpu:1', '', 'CPU']) {
      expect(() => deviceCandidates(word, gpuHost)).toThrow(expect.objectContaining({ code: 'config_invalid' }));
    }
  });

  it('finds the CPU provider on this machine', () => {
    expect(probeDevices().providers).toContain('CPUExecutionProvider');
  });
});

describe('openFirst', () => {
  const cuda: Device = { kind: 'cuda', index: 0 };
  const cpu: Device = { kind: 'cpu', index: 0 };
  const failOn =
    (kind: string, code: 'inference_failed' | 'device_unavailable' | 'model_mismatch' = 'inference_failed') =>
    async (device: Device) => {
      if (device.kind === kind) throw new FacewireError(code, 'no driver');
      return device.kind;
    };

  it.each(['inference_failed', 'device_unavailable'] as const)(
    'falls back when a device does not open or does not answer (%s), and says so',
    async (code) => {
      const passed: string[] = [];
      const opened = await openFirst([cuda, cpu], failOn('cuda', code), (device) => passed.push(deviceName(device)));
      expect([opened, passed]).toEqual(['cpu', ['cuda']]);
    },
  );

  it('reports device_unavailable when the only device does not open', async () => {
    await expect(openFirst([cuda], failOn('cuda'), () => {})).rejects.toMatchObject({
      code: 'device_unavailable',
      message: expect.stringContaining('no driver'),
    });
  });

  it('passes on that the only device does not answer, with what to do', async () => {
    await expect(openFirst([cuda], failOn('cuda', 'device_unavailable'), () => {})).rejects.toMatchObject({
      code: 'device_unavailable',
      message: 'no driver',
    });
  });

  it('does not blame the device for a broken model', async () => {
    await expect(openFirst([cuda, cpu], failOn('cuda', 'model_mismatch'), () => {})).rejects.toMatchObject({
      code: 'model_mismatch',
    });
  });
});
