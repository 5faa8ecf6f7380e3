import { existsSync } from 'node:fs';
import { EXPRESSION_INDEX, neutralMotion } from '@facewire/proto';
import koffi from 'koffi';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Picture } from '../../server/src/contracts.ts';
import { DeviceBankMemory } from '../../server/src/inference/DeviceBankMemory.ts';
import { ModelPackage } from '../../server/src/inference/ModelPackage.ts';
import { OnnxRenderer } from '../../server/src/inference/OnnxRenderer.ts';
import { closeSizes, openSizes } from '../../server/src/inference/openSizes.ts';
import { OrtRuntime } from '../../server/src/inference/ort/OrtRuntime.ts';
import { compareFrames } from '../../server/src/inference/parity.ts';
import { checkRecording, openRecording } from '../../server/src/inference/recording.ts';
import { TINY_MODEL, tinyAvatar } from '../../server/src/inference/testdata/tinyAvatar.ts';

/** Debian's chromium brings a software renderer for Vulkan, and a loader for it. */
const CHROMIUM = '/usr/lib/chromium';
const ICD = `${CHROMIUM}/vk_swiftshader_icd.json`;
const LOADER = `${CHROMIUM}/libvulkan.so.1`;
const present = existsSync(ICD);

const webgpu = { kind: 'webgpu', index: 0 } as const;
const BOTH = { i420: true, rgb: true };
/** 58 float32 of motion, 2 float32 of view, one int64 slot */
const INPUT_BYTES = 58 * 4 + 2 * 4 + 8;
const AVATAR_BYTES = (3 * 32 * 32 + 68 * 2) * 4;

function pictures(avatars: readonly string[], size: number): Picture[] {
  return avatars.map((avatar, index) => {
    const motion = neutralMotion();
    motion.expression[EXPRESSION_INDEX.jawOpen] = index / 10;
    return { avatar, size, view: { yaw: 0.1 * index, pitch: 0 }, motion };
  });
}

it.runIf(process.env.CI)('CI has the software renderer that these tests need', () => {
  expect(present, `${ICD} is missing: apt-get install chromium`).toBe(true);
});

describe.skipIf(!present)('avatars on a WebGPU device (SwiftShader)', () => {
  const renderers: OnnxRenderer[] = [];
  const loaders: unknown[] = [];
  let model: ModelPackage;
  const open = async (device: string) => {
    const renderer = await OnnxRenderer.create({
      package: model,
      device,
      loadAvatar: async (id) => tinyAvatar(id, Number(id)),
      maxBatch: 4,
      bankSlots: 4,
      threads: 1,
    });
    renderers.push(renderer);
    return renderer;
  };
  let device: OnnxRenderer;
  let cpu: OnnxRenderer;
  beforeAll(async () => {
    process.env.VK_DRIVER_FILES = ICD;
    // It sets what must be set before any library is loaded.
    OrtRuntime.get();
    // Held open, it is what the provider finds by this name where the system has no loader of its own.
    if (existsSync(LOADER)) loaders.push(koffi.load(LOADER));
    model = await ModelPackage.load(TINY_MODEL);
    [device, cpu] = [await open('webgpu'), await open('cpu')];
  });
  afterAll(() => Promise.all(renderers.map((renderer) => renderer.close())));

  it('are uploaded once; after that only slots, motion and view go up and frames come down, equal to the CPU', async () => {
    const avatars = ['0.1', '0.2', '0.3', '0.4'];
    await device.bank.ensure(avatars);
    expect(device.counters).toMatchObject({ bytesToDevice: 4 * AVATAR_BYTES, inputBytesToDevice: 0, loads: 4 });
    for (const size of [16, 32]) {
      const asked = pictures(avatars, size);
      const difference = compareFrames(await device.render(asked, BOTH), await cpu.render(asked, BOTH));
      expect(difference.max).toBeLessThanOrEqual(1);
    }
    const frameBytes = (size: number) => size * size * 3 + (size * size * 3) / 2;
    expect(device.counters).toMatchObject({
      pictures: 8,
      bytesToDevice: 4 * AVATAR_BYTES,
      inputBytesToDevice: 8 * INPUT_BYTES,
      bytesFromDevice: 4 * (frameBytes(16) + frameBytes(32)),
      bankBytesRecopied: 0,
      evictions: 0,
    });
  });

  it('give their slot to another, which is written in place, and leave the others as they are', async () => {
    for (const avatar of ['0.5', '0.6']) {
      const asked = pictures([avatar, '0.3', '0.4'], 16);
      expect(compareFrames(await device.render(asked, BOTH), await cpu.render(asked, BOTH)).max).toBeLessThanOrEqual(1);
    }
    expect(device.counters).toMatchObject({ evictions: 2, loads: 6, bankBytesRecopied: 0 });
  });

  it('are drawn the same by runs whose tensors stay on the device, as CUDA graphs want them', async () => {
    const exclusive = <T>(task: () => Promise<T>) => task();
    const memory = await DeviceBankMemory.create(model.avatarTensors, 2, webgpu, exclusive);
    await memory.write(0, tinyAvatar('x', 0.5).tensors);
    const recording = openRecording(webgpu);
    const threading = { lanes: 1, threads: 1 };
    const files = model.renderers.slice(0, 1);
    const sizes = await openSizes({ package: model, files, device: webgpu, threading, memory, maxBatch: 2, recording });
    await checkRecording(sizes.get(16)!.laneOptions(0));
    closeSizes(sizes);
    recording.close();
    memory.close();
  });
});
