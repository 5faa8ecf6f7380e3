import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RecordingGate } from './RecordingGate.ts';
import { RenderLanes, renderTimeoutMs } from './RenderLanes.ts';

/** A device whose runs end when the test says so. */
function fakeDevice(lanes: number, timeoutMs = 10_000, shared = new RecordingGate()) {
  const said: string[] = [];
  const running = new Map<string, { lane: number; end: () => void; fail: () => void }>();
  const onStuck = (message: string) => said.push(message);
  const gate = new RenderLanes({ device: 'fake', lanes, timeoutMs, gate: shared, onStuck });
  const task = (name: string) => (lane: number) =>
    new Promise<string>((resolve, reject) => {
      running.set(name, {
        lane,
        end: () => {
          running.delete(name);
          resolve(name);
        },
        fail: () => {
          running.delete(name);
          reject(new Error(name));
        },
      });
    });
  return {
    gate,
    said,
    running: () => [...running].map(([name, { lane }]) => `${name}@${lane}`),
    run: (name: string) => gate.run(task(name)),
    alone: (name: string) => gate.exclusive(() => task(name)(-1)),
    record: (name: string) => gate.recording(() => task(name)(-1)),
    end: async (name: string) => {
      running.get(name)!.end();
      await settle();
    },
    fail: async (name: string) => {
      running.get(name)!.fail();
      await settle();
    },
  };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

// Time passes when a test says so: runs are given up then, and what is refused at once is refused without it.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

describe('RenderLanes', () => {
  it('keeps two runs in flight, each with its own lane, and begins the next as one ends', async () => {
    const device = fakeDevice(2);
    const results = Promise.all(['a', 'b', 'c', 'd'].map(device.run));
    expect(device.running()).toEqual(['a@0', 'b@1']);
    await device.end('a');
    expect(device.running()).toEqual(['b@1', 'c@0']);
    await device.end('b');
    await device.end('c');
    await device.end('d');
    expect(await results).toEqual(['a', 'b', 'c', 'd']);
  });

  it('runs one at a time with one lane, and more when lanes are added', async () => {
    const device = fakeDevice(1);
    const all = Promise.all(['a', 'b', 'c'].map(device.run));
    expect(device.running()).toEqual(['a@0']);
    device.gate.lanes = 2;
    expect(device.running()).toEqual(['a@0', 'b@1']);
    for (const name of ['a', 'b', 'c']) await device.end(name);
    await all;
  });

  it('lets an exclusive task wait for the runs before it, and the runs after it wait for that', async () => {
    const device = fakeDevice(2);
    const all = Promise.all([device.run('a'), device.run('b'), device.alone('write'), device.run('c')]);
    await device.end('a');
    expect(device.running()).toEqual(['b@1']);
    await device.end('b');
    expect(device.running()).toEqual(['write@-1']);
    await device.end('write');
    expect(device.running()).toEqual(['c@0']);
    await device.end('c');
    await all;
  });

  it('goes on after a run that failed', async () => {
    const device = fakeDevice(1);
    const failed = device.run('bad');
    const next = device.run('good');
    await Promise.all([expect(failed).rejects.toThrow('bad'), device.fail('bad')]);
    await device.end('good');
    expect(await next).toBe('good');
  });

  it('gives up a run that does not come back, refuses at once what follows, and goes on when it does', async () => {
    const device = fakeDevice(1, 20);
    const [lost, queued] = [device.run('lost'), device.run('queued')];
    vi.advanceTimersByTime(20);
    await expect(lost).rejects.toMatchObject({ code: 'device_unavailable' });
    await expect(queued).rejects.toMatchObject({ code: 'device_unavailable' });
    expect(device.gate.stuck).toBe(true);
    await expect(device.run('later')).rejects.toMatchObject({ code: 'device_unavailable' });
    await expect(device.alone('write')).rejects.toMatchObject({ code: 'device_unavailable' });
    expect(device.running()).toEqual(['lost@0']);
    await device.end('lost');
    expect(device.gate.stuck).toBe(false);
    expect(device.said).toEqual([expect.stringContaining('20 ms'), expect.stringContaining('again')]);
    const back = device.run('back');
    await device.end('back');
    expect(await back).toBe('back');
  });

  it('keeps the lane of a run that was given up, so that nothing else writes its buffers', async () => {
    const device = fakeDevice(2, 20);
    const lost = device.run('lost');
    vi.advanceTimersByTime(20);
    await expect(lost).rejects.toMatchObject({ code: 'device_unavailable' });
    device.gate.lanes = 3;
    expect(device.running()).toEqual(['lost@0']);
    await device.end('lost');
    device.run('next');
    expect(device.running()).toEqual(['next@0']);
    await device.end('next');
  });
});

describe('RenderLanes.free', () => {
  it('frees what runs use after those before it', async () => {
    const device = fakeDevice(2);
    const freed: string[] = [];
    const run = device.run('a');
    const free = device.gate.free(() => freed.push('it'));
    await settle();
    expect(freed).toEqual([]);
    await device.end('a');
    await Promise.all([run, free]);
    expect(freed).toEqual(['it']);
  });

  it('does not free what a run that was given up uses before that has come back, and nobody waits for it', async () => {
    const device = fakeDevice(2, 20);
    const freed: string[] = [];
    const [first, second] = [device.run('first'), device.run('second')];
    const queued = device.gate.free(() => freed.push('queued'));
    vi.advanceTimersByTime(20);
    for (const run of [first, second]) await expect(run).rejects.toMatchObject({ code: 'device_unavailable' });
    await queued;
    await device.gate.free(() => freed.push('later'));
    await device.end('first');
    expect(freed).toEqual([]);
    await device.end('second');
    expect(freed).toEqual(['queued', 'later']);
  });
});

describe('a recording', () => {
  const twoDevices = (timeoutMs?: number) => {
    const gate = new RecordingGate();
    return [fakeDevice(2, timeoutMs, gate), fakeDevice(2, timeoutMs, gate)] as const;
  };

  it('waits for the runs and writes of every device, and those that come later wait for it', async () => {
    const [first, second] = twoDevices();
    const all = Promise.all([
      second.run('a'),
      first.record('record'),
      second.alone('write'),
      first.run('b'),
      first.run('c'),
    ]);
    expect([first.running(), second.running()]).toEqual([[], ['a@0']]);
    await second.end('a');
    expect([first.running(), second.running()]).toEqual([['record@-1'], []]);
    await first.end('record');
    expect([first.running(), second.running()]).toEqual([['b@0', 'c@1'], ['write@-1']]);
    for (const name of ['b', 'c']) await first.end(name);
    await second.end('write');
    await all;
  });

  it('of two devices at once is made one after the other', async () => {
    const [first, second] = twoDevices();
    const all = Promise.all([first.record('r'), second.record('s')]);
    expect([first.running(), second.running()]).toEqual([['r@-1'], []]);
    await first.end('r');
    expect([first.running(), second.running()]).toEqual([[], ['s@-1']]);
    await second.end('s');
    await all;
  });

  it('does not wait for a device that does not answer', async () => {
    const [first, second] = twoDevices(20);
    const lost = second.run('lost');
    vi.advanceTimersByTime(20);
    await expect(lost).rejects.toMatchObject({ code: 'device_unavailable' });
    const recorded = first.record('record');
    expect(first.running()).toEqual(['record@-1']);
    await first.end('record');
    expect(await recorded).toBe('record');
    await second.end('lost');
  });
});

it('a run has long for its first time, and then a multiple of what it took before', () => {
  expect(renderTimeoutMs('cpu', undefined)).toBe(60_000);
  expect(renderTimeoutMs('cuda', 4)).toBe(3000);
  expect(renderTimeoutMs('cuda', 200)).toBe(10_000);
  expect(renderTimeoutMs('cpu', 5000)).toBe(60_000);
  // A device in software compiles for a minute.
  expect(renderTimeoutMs('webgpu', undefined)).toBe(180_000);
  expect(renderTimeoutMs('webgpu', 2700)).toBe(135_000);
});
