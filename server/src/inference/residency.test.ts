import { neutralMotion } from '@facewire/proto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Picture } from '../contracts.ts';
import { HostBankMemory } from './BankMemory.ts';
import { LaneRun } from './LaneRun.ts';
import { ModelPackage } from './ModelPackage.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';
import { closeSizes, openSizes } from './openSizes.ts';
import { residencyMetrics, residencyOf } from './residency.ts';
import { Traffic } from './Traffic.ts';
import { TINY_MODEL, tinyAvatar } from './testdata/tinyAvatar.ts';

/** 58 float32 of motion, 2 float32 of view, one int64 slot */
const INPUT_BYTES = 58 * 4 + 2 * 4 + 8;
const PICTURE_BYTES = 3 * 32 * 32 * 4;
const AVATAR_BYTES = PICTURE_BYTES + 68 * 2 * 4;
const AVATARS = ['0.1', '0.2', '0.3', '0.4'];

function pictures(size: number, count: number): Picture[] {
  return Array.from({ length: count }, (_, index) => ({
    avatar: AVATARS[index % AVATARS.length]!,
    size,
    view: { yaw: 0, pitch: 0 },
    motion: neutralMotion(),
  }));
}

it('a bank that lies in the memory of the host is counted with every run of a GPU, as what travels', async () => {
  const model = await ModelPackage.load(TINY_MODEL);
  const device = { kind: 'cpu', index: 0 } as const;
  const memory = new HostBankMemory(model.avatarTensors, 3);
  // A device tensor of the CPU is one whose place ONNX Runtime alone knows, as that of a GPU.
  const tensor = memory.tensor.bind(memory);
  memory.tensor = (name) => Object.assign(Object.create(tensor(name)), { data: undefined });
  const threading = { lanes: 1, threads: 1 };
  const sizes = await openSizes({ package: model, files: model.renderers, device, threading, memory, maxBatch: 4 });
  const { session, ...options } = sizes.get(16)!.laneOptions(0);
  const onGpu = Object.create(session, { device: { value: { kind: 'webgpu', index: 0 } } }) as typeof session;
  const lane = new LaneRun({ ...options, session: onGpu });
  const traffic = new Traffic();
  for (let run = 1; run <= 2; run++) {
    await lane.draw(pictures(16, 2), [0, 1], { i420: true, rgb: false }, traffic);
    // The graph reads the picture, and not the points.
    expect(traffic.bankBytesRecopied).toBe(run * 3 * PICTURE_BYTES);
  }
  lane.close();
  closeSizes(sizes);
  memory.close();
});

describe('residency', () => {
  let renderer: OnnxRenderer;
  beforeEach(async () => {
    renderer = await OnnxRenderer.create({
      package: await ModelPackage.load(TINY_MODEL),
      loadAvatar: async (id) => tinyAvatar(id, Number(id)),
      maxBatch: 8,
      threads: 1,
      bankSlots: 4,
    });
  });
  afterEach(() => renderer.close());

  it('uploads each avatar once; after that only slots, motion and view go up, and only wanted frames come down', async () => {
    await renderer.render(pictures(16, 4), { i420: true, rgb: true });
    const loaded = renderer.counters;
    expect(loaded.bytesToDevice).toBe(AVATARS.length * AVATAR_BYTES);

    await renderer.render(pictures(16, 7), { i420: true, rgb: false });
    await renderer.render(pictures(32, 3), { i420: false, rgb: true });
    const { counters } = renderer;
    expect(counters.inputBytesToDevice - loaded.inputBytesToDevice).toBe(10 * INPUT_BYTES);
    expect(counters.bytesFromDevice - loaded.bytesFromDevice).toBe(7 * 16 * 24 + 3 * 32 * 32 * 3);
    expect(counters.bytesToDevice).toBe(loaded.bytesToDevice);
    expect([counters.loads, counters.evictions, counters.bankBytesRecopied]).toEqual([4, 0, 0]);
  });

  it('shows as bytes per picture, and an avatar that returns after its eviction shows as another upload', async () => {
    expect(residencyOf(renderer)).toMatchObject({ avatars: 0, slots: 4, pictures: 0, bytesInPerPicture: 0 });
    await renderer.render(pictures(16, 4), { i420: true, rgb: false });
    expect(residencyOf(renderer)).toMatchObject({
      avatars: 4,
      pictures: 4,
      bytesInPerPicture: INPUT_BYTES,
      bytesOutPerPicture: 16 * 24,
    });
    for (const avatar of ['0.5', AVATARS[0]!]) {
      await renderer.render([{ ...pictures(16, 1)[0]!, avatar }], { i420: true, rgb: false });
    }
    expect(residencyMetrics(renderer)).toMatchObject({
      device_pictures_total: 6,
      device_input_bytes_in_total: 6 * INPUT_BYTES,
      device_avatar_bytes_in_total: 6 * AVATAR_BYTES,
      device_frame_bytes_out_total: 6 * 16 * 24,
      device_bank_bytes_recopied_total: 0,
      bank_evictions_total: 2,
    });
  });
});
