import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { calibrateDevice } from './calibrateDevice.ts';
import { DrawingDevice } from './DrawingDevice.ts';
import { ModelPackage } from './ModelPackage.ts';
import { openDevice } from './openDevice.ts';
import { OrtSession } from './ort/OrtSession.ts';
import { SizeRenderer } from './SizeRenderer.ts';
import { TINY_MODEL } from './testdata/tinyAvatar.ts';

const TIMEOUT_MS = 200;

let device: DrawingDevice;
let model: ModelPackage;
beforeEach(async () => {
  model = await ModelPackage.load(TINY_MODEL);
  const options = {
    package: model,
    loadAvatar: () => Promise.reject(new Error('none')),
    threads: 2,
    timeoutMs: TIMEOUT_MS,
    // Nothing is written there: no measurement comes to its end.
    calibrationDir: join(tmpdir(), 'facewire-no-calibration'),
  };
  const opened = await openDevice(options, { kind: 'cpu', index: 0 }, 'float32');
  device = new DrawingDevice(opened, new AbortController().signal);
  // Runs are given up when a test says so, not when the machine is busy.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await device.close();
});
const settle = () => new Promise((resolve) => setImmediate(resolve));

it('a measurement one of whose runs fails ends with the others, which still use the graphs', async () => {
  let endOther = () => {};
  vi.spyOn(SizeRenderer.prototype, 'render').mockImplementation((lane) => {
    if (lane === 1) return Promise.reject(new Error('bad_alloc'));
    return new Promise((resolve) => {
      endOther = () => resolve([]);
    });
  });
  let ended = false;
  const measured = device.measure(device.renderers.get(16)!, 1, 2).finally(() => {
    ended = true;
  });
  measured.catch(() => undefined);
  await settle();
  expect(ended).toBe(false);
  endOther();
  await expect(measured).rejects.toThrow('bad_alloc');
});

it('closes the graphs that it does not come to draw with, once the device answers', async () => {
  const { lanes } = device.opened;
  let comeBack = () => {};
  const lost = lanes.run(
    () =>
      new Promise<void>((resolve) => {
        comeBack = resolve;
      }),
  );
  vi.advanceTimersByTime(TIMEOUT_MS);
  await expect(lost).rejects.toMatchObject({ code: 'device_unavailable' });
  const before = device.renderers;
  const close = vi.spyOn(OrtSession.prototype, 'close');
  await expect(device.change(device.opened)).rejects.toMatchObject({ code: 'device_unavailable' });
  expect(close).not.toHaveBeenCalled();
  comeBack();
  await settle();
  expect(close).toHaveBeenCalledTimes(model.renderers.length);
  expect(device.renderers).toBe(before);
  for (const renderer of before.values()) expect(renderer.laneOptions(0).session.pointer).toBeTypeOf('bigint');
});

it('the graphs of a way to use the threads whose run was given up are closed when that comes back', async () => {
  const current = [...device.renderers.values()];
  let comeBack = () => {};
  const render = SizeRenderer.prototype.render;
  const begun = new Promise<void>((resolve) => {
    vi.spyOn(SizeRenderer.prototype, 'render').mockImplementation(function (this: SizeRenderer, ...asked) {
      if (current.includes(this)) return render.apply(this, asked);
      resolve();
      return new Promise((end) => {
        comeBack = () => end([]);
      });
    });
  });
  const close = vi.spyOn(SizeRenderer.prototype, 'close');
  const refused = expect(calibrateDevice(device, async () => true)).rejects.toMatchObject({
    code: 'device_unavailable',
  });
  await begun;
  vi.advanceTimersByTime(TIMEOUT_MS);
  await refused;
  expect(close).not.toHaveBeenCalled();
  comeBack();
  await settle();
  expect(close).toHaveBeenCalledTimes(1);
});
