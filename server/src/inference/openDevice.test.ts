import { afterEach, expect, it, vi } from 'vitest';
import { ModelPackage } from './ModelPackage.ts';
import { openDevice } from './openDevice.ts';
import { closeSizes } from './openSizes.ts';
import { OrtSession } from './ort/OrtSession.ts';
import { TINY_MODEL } from './testdata/tinyAvatar.ts';

afterEach(() => void vi.restoreAllMocks());

it('frees nothing under a run that is lost while a GPU is opened, and opens nothing there until it has come back', async () => {
  const options = {
    package: await ModelPackage.load(TINY_MODEL),
    loadAvatar: () => Promise.reject(new Error('none')),
  };
  // All of the path of a GPU, on the CPU.
  const openSession = OrtSession.open;
  const opened = vi.spyOn(OrtSession, 'open').mockImplementation((graph, { device: _, graphs: __, ...rest }) => {
    return openSession(graph, { ...rest, device: { kind: 'cpu', index: 0 } });
  });
  const closed = vi.spyOn(OrtSession.prototype, 'close');
  const runBound = OrtSession.prototype.runBound;
  let comeBack = () => {};
  const lost = new Promise<void>((resolve) => {
    comeBack = resolve;
  });
  vi.spyOn(OrtSession.prototype, 'runBound').mockImplementation(async function (this: OrtSession, ...values) {
    await lost;
    return runBound.apply(this, values);
  });
  const open = (timeoutMs: number) => openDevice({ ...options, timeoutMs }, { kind: 'cuda', index: 7 }, 'float32');

  await expect(open(50)).rejects.toMatchObject({ code: 'device_unavailable' });
  const sessions = opened.mock.calls.length;
  await expect(open(50)).rejects.toMatchObject({ code: 'device_unavailable', received: 'cuda:7' });
  expect([opened.mock.calls.length, closed.mock.calls.length]).toEqual([sessions, 0]);

  comeBack();
  // Also the sessions of the copies, one of which is opened later.
  await expect.poll(() => closed.mock.calls.length).toBeGreaterThanOrEqual(sessions);
  const { renderers, sizes, lanes } = await open(10_000);
  expect(sizes.recording).toBeDefined();
  await lanes.free(() => {
    closeSizes(renderers);
    sizes.memory.close();
    sizes.recording!.close();
  });
});
