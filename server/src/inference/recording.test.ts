import { EXPRESSION_INDEX, FacewireError, neutralMotion } from '@facewire/proto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Picture } from '../contracts.ts';
import { HostBankMemory } from './BankMemory.ts';
import { LaneRun, recordedBatch } from './LaneRun.ts';
import { ModelPackage } from './ModelPackage.ts';
import { closeSizes, openSizes } from './openSizes.ts';
import { cudaOptions } from './ort/cudaOptions.ts';
import { OrtTensor } from './ort/OrtTensor.ts';
import { checkRecording, openRecording, type Recording } from './recording.ts';
import type { SizeRenderer } from './SizeRenderer.ts';
import { Traffic } from './Traffic.ts';
import { TINY_MODEL, tinyAvatar } from './testdata/tinyAvatar.ts';

const cpu = { kind: 'cpu', index: 0 } as const;

function picture(jawOpen: number): Picture {
  const motion = neutralMotion();
  motion.expression[EXPRESSION_INDEX.jawOpen] = jawOpen;
  return { avatar: '', size: 16, view: { yaw: 0, pitch: 0 }, motion };
}

/** The path of CUDA graphs, on the CPU: everything but the recording itself, which that provider does not do. */
describe('recorded runs', () => {
  let recording: Recording;
  let memory: HostBankMemory;
  let renderer: SizeRenderer;
  let sizes: Map<number, SizeRenderer>;
  beforeEach(async () => {
    const model = await ModelPackage.load(TINY_MODEL);
    memory = new HostBankMemory(model.avatarTensors, 2);
    for (const [slot, grey] of [0.2, 0.6].entries()) {
      await memory.write(slot, tinyAvatar('x', grey).tensors);
    }
    recording = openRecording(cpu);
    const files = model.renderers.filter(({ size }) => size === 16);
    const threading = { lanes: 2, threads: 1 };
    sizes = await openSizes({ package: model, files, device: cpu, threading, memory, maxBatch: 8, recording });
    renderer = sizes.get(16)!;
  });
  afterEach(() => {
    closeSizes(sizes);
    recording.close();
    recording.close();
    memory.close();
  });

  it('draw what the pictures ask for, from tensors that stay in place, in two lanes at once', async () => {
    const draw = async (lane: number, slot: number, jawOpen: number, count: number) => {
      const pictures = Array.from({ length: count }, () => picture(jawOpen));
      const frames = await renderer.render(
        lane,
        pictures,
        Array(count).fill(slot),
        { i420: true, rgb: true },
        new Traffic(),
      );
      return frames.map(({ rgb }) => rgb![0]);
    };
    for (const jawOpen of [0, 0.2, 0.4]) {
      const [a, b] = await Promise.all([draw(0, 0, jawOpen, 1), draw(1, 1, jawOpen, 5)]);
      expect(a).toEqual([Math.round(255 * (0.2 + jawOpen / 2))]);
      expect(b).toEqual(Array(5).fill(Math.round(255 * (0.6 + jawOpen / 2))));
    }
  });

  it('are recorded before they are drawn, lane by lane, so that nothing allocates meanwhile', async () => {
    const wanted = { i420: true, rgb: false };
    expect(renderer.isRecorded(2, 5, wanted)).toBe(false);
    await renderer.record(2, 5, wanted);
    // Six rows draw five and six pictures alike; other outputs are another recording.
    expect([5, 6, 4, 7].map((count) => renderer.isRecorded(2, count, wanted))).toEqual([true, true, false, false]);
    expect(renderer.isRecorded(3, 5, wanted)).toBe(false);
    expect(renderer.isRecorded(2, 5, { i420: true, rgb: true })).toBe(false);
    const [frame] = await renderer.render(1, Array(5).fill(picture(0)), Array(5).fill(1), wanted, new Traffic());
    expect(frame!.i420![0]).toBe(Math.round(16 + 219 * 0.6));
  });

  it('that failed are not taken for recorded', async () => {
    const options = renderer.laneOptions(0);
    const session = Object.create(options.session) as typeof options.session;
    session.runBound = () => Promise.reject(new Error('capture invalidated'));
    const lane = new LaneRun({ ...options, session });
    const wanted = { i420: true, rgb: false };
    await expect(lane.draw([picture(0)], [0], wanted, new Traffic())).rejects.toThrow('invalidated');
    expect(lane.isRecorded(1, wanted)).toBe(false);
    lane.close();
  });

  it('copy only the outputs that are wanted', async () => {
    const traffic = new Traffic();
    const [frame] = await renderer.render(0, [picture(0)], [1], { i420: true, rgb: false }, traffic);
    expect(frame!.i420![0]).toBe(Math.round(16 + 219 * 0.6));
    expect(traffic.bytesFromDevice).toBe(16 * 24);
  });

  it('are kept only when a replay draws what an ordinary run draws', async () => {
    const options = renderer.laneOptions(0);
    await checkRecording(options);
    // A device that replays the first run's inputs for ever.
    const { transfer } = recording;
    let copied = 0;
    const stale = Object.create(transfer) as typeof transfer;
    stale.copy = async (names, source, target) => {
      if (String(names[0]) !== 'slots' || copied++ === 0) await transfer.copy(names, source, target);
    };
    const dark = { ...options, recorded: { transfer: stale, nextGraph: () => 99 } };
    await expect(checkRecording(dark)).rejects.toMatchObject({ code: 'inference_failed' });
  });

  it('come in few sizes, less than half as large again as needed', () => {
    for (let count = 1; count <= 64; count++) {
      const rows = recordedBatch(count, 64);
      expect(rows).toBeGreaterThanOrEqual(count);
      expect(rows).toBeLessThan(1.5 * count);
    }
    expect([1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 64].map((count) => recordedBatch(count, 64))).toEqual([
      1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64,
    ]);
    expect(recordedBatch(13, 14)).toBe(14);
  });

  it('give their memory back', async () => {
    const made: { readonly pointer: bigint }[] = [];
    const options = renderer.laneOptions(0);
    const over = vi.spyOn(OrtTensor, 'over');
    const device = vi.spyOn(options.session, 'deviceTensor');
    const lane = new LaneRun(options);
    await lane.draw([picture(0)], [0], { i420: true, rgb: true }, new Traffic());
    for (const { mock } of [over, device]) for (const { value } of mock.results) made.push(value);
    over.mockRestore();
    device.mockRestore();
    // Five on the host; of the five on the device each is made over host memory here, and so seen twice.
    expect(new Set(made).size).toBe(10);
    for (const each of made) expect(each.pointer).toBeTypeOf('bigint');
    lane.close();
    lane.close();
    for (const each of made) expect(() => each.pointer).toThrow('closed');
  });

  it('leave no memory of the host behind where it does not suffice', () => {
    const options = renderer.laneOptions(0);
    for (let most = 0; most < 5; most++) {
      const session = Object.create(options.session) as typeof options.session;
      let [made, closed] = [0, 0];
      session.hostMemory = (bytes) => {
        if (made === most) throw new FacewireError('inference_failed', 'out of memory');
        made++;
        return { ...options.session.hostMemory(bytes), close: () => closed++ };
      };
      expect(() => new LaneRun({ ...options, session })).toThrow('out of memory');
      expect([made, closed]).toEqual([most, most]);
    }
  });

  it('a batch size whose tensors do not all fit leaves none of them behind, and may be asked for again', async () => {
    const options = renderer.laneOptions(0);
    const session = Object.create(options.session) as typeof options.session;
    const made: OrtTensor[] = [];
    const over = vi.spyOn(OrtTensor, 'over');
    let left = 4;
    session.deviceTensor = (...values) => {
      if (left-- === 0) throw new FacewireError('inference_failed', 'out of memory');
      made.push(options.session.deviceTensor(...values));
      return made.at(-1)!;
    };
    const lane = new LaneRun({ ...options, session });
    const draw = () => lane.draw([picture(0)], [1], { i420: true, rgb: true }, new Traffic());
    await expect(draw()).rejects.toThrow('out of memory');
    for (const { value } of over.mock.results) made.push(value);
    over.mockRestore();
    // Five on the host; of the four on the device each is made over host memory here, and so seen twice.
    expect(new Set(made).size).toBe(9);
    for (const each of made) expect(() => each.pointer).toThrow('closed');
    left = 5;
    await draw();
    expect(lane.row('rgb', 0)[0]).toBe(Math.round(255 * 0.6));
    lane.close();
  });
});

describe('cudaOptions', () => {
  it('name the device, full float32, memory as it is needed, and graphs only where they are wanted', () => {
    expect(cudaOptions({ index: 3, graphs: false })).toEqual({
      device_id: '3',
      arena_extend_strategy: 'kSameAsRequested',
      use_tf32: '0',
    });
    expect(cudaOptions({ index: 0, graphs: true })).toMatchObject({ enable_cuda_graph: '1' });
  });
});
