import { decodeFrame, encodeMotion, FacewireError, neutralMotion, type ServerControl } from '@facewire/proto';
import { afterEach, expect, it } from 'vitest';
import type { Peer } from '../server/src/contracts.ts';
import { ModelPackage } from '../server/src/inference/ModelPackage.ts';
import { type DeviceRenderer, MultiRenderer } from '../server/src/inference/MultiRenderer.ts';
import type { OnnxRenderer } from '../server/src/inference/OnnxRenderer.ts';
import { TINY_MODEL } from '../server/src/inference/testdata/tinyAvatar.ts';
import { encoders, openTiny, roomsOn } from './tinyRooms.ts';

const GREY = '0.5';

function peerOf(id: string) {
  const heard: ServerControl[] = [];
  const frames: { sequence: number; grey: number }[] = [];
  let closed = false;
  const peer: Peer = {
    id,
    transport: 'local',
    sendControl: (message) => heard.push(message),
    sendFrame: (packet) => {
      const { header, payload } = decodeFrame(packet);
      frames.push({ sequence: header.motionSequence, grey: payload[0]! });
    },
    bufferedBytes: () => 0,
    close: () => {
      closed = true;
    },
  };
  return { peer, heard, frames, isClosed: () => closed };
}

/** A device that draws like the CPU until it breaks: a GPU's double. */
function breakable(real: OnnxRenderer) {
  const state: { error?: FacewireError; answers: boolean; runs: number } = { answers: true, runs: 0 };
  const renderer: DeviceRenderer = Object.assign(Object.create(real) as OnnxRenderer, {
    render: async (...values: Parameters<OnnxRenderer['render']>) => {
      state.runs++;
      if (!state.answers) {
        // As RenderLanes does when its patience ends.
        await new Promise((resolve) => setTimeout(resolve, 60));
        throw new FacewireError('device_unavailable', 'device cuda does not answer');
      }
      if (state.error) throw state.error;
      return real.render(...values);
    },
    close: () => real.close(),
  });
  Object.defineProperty(renderer, 'device', { value: 'cuda' });
  return { renderer, state };
}

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A room with one player and one viewer on a device that can break, with the CPU standing by. */
async function playedRoom() {
  const model = await ModelPackage.load(TINY_MODEL);
  const open = () => openTiny(model);
  const gpu = breakable(await open());
  const told: string[] = [];
  const renderer = new MultiRenderer({
    renderers: [gpu.renderer],
    openStandby: open,
    onChange: (message) => told.push(message),
  });
  const { registry, scheduler, metrics } = roomsOn(renderer, model);
  scheduler.start();
  const [player, viewer] = [peerOf('player'), peerOf('viewer')];
  const common = { type: 'join' as const, version: 1, room: 'r', codecs: [...encoders.codecs] };
  for (const each of [player, viewer]) registry.handleOpen(each.peer);
  registry.handleControl(player.peer, { ...common, role: 'player', name: 'p', avatar: GREY });
  registry.handleControl(viewer.peer, { ...common, role: 'viewer', name: 'v' });
  const welcome = player.heard.find((message) => message.type === 'welcome')!;
  registry.handleControl(viewer.peer, {
    type: 'subscribe',
    request: 1,
    participant: welcome.participant,
    size: 16,
    framesPerSecond: 30,
    view: { yaw: 0, pitch: 0 },
  });
  let sequence = 0;
  const sending = setInterval(() => {
    registry.handleMotion(
      player.peer,
      encodeMotion({ motion: neutralMotion(), sequence: ++sequence, timeMs: sequence }),
    );
  }, 20);
  closers.push(async () => {
    clearInterval(sending);
    await scheduler.close();
    await renderer.close();
  });
  /** until the viewer has so many frames of motion sent from now on */
  const more = (count: number) => {
    const from = sequence;
    const newer = () => viewer.frames.filter((frame) => frame.sequence > from).length;
    return expect.poll(newer, { interval: 10 }).toBeGreaterThanOrEqual(count);
  };
  return { gpu: gpu.state, renderer, told, player, viewer, metrics, more };
}

const CASES: [string, (gpu: Awaited<ReturnType<typeof playedRoom>>['gpu']) => void, RegExp][] = [
  [
    'is lost',
    (gpu) => {
      gpu.error = new FacewireError('inference_failed', 'CUDA failure 700: an illegal memory access was encountered');
    },
    /illegal memory access/,
  ],
  [
    'runs out of memory',
    (gpu) => {
      gpu.error = new FacewireError(
        'inference_failed',
        'Failed to allocate memory for requested buffer of size 8388608',
      );
    },
    /Failed to allocate memory/,
  ],
  [
    'does not answer',
    (gpu) => {
      gpu.answers = false;
    },
    /does not answer/,
  ],
];

it.each(CASES)('when the GPU %s the room lives on, drawn by the CPU, until it returns', async (_, fail, reason) => {
  const { gpu, renderer, told, player, viewer, metrics, more } = await playedRoom();
  await more(3);
  expect(renderer.device).toBe('cuda');
  fail(gpu);
  await more(5);
  expect(renderer).toMatchObject({ device: 'cpu', failedDevices: 1 });
  expect(told.join('\n')).toMatch(/device cuda failed and is taken out/);
  expect(told.join('\n')).toMatch(reason);
  delete gpu.error;
  gpu.answers = true;
  await expect.poll(() => renderer.device).toBe('cuda');
  expect(told.at(-1)).toBe('device cuda has returned');
  const { runs } = gpu;
  await more(3);
  expect(gpu.runs).toBeGreaterThan(runs);
  // Nobody was told of it, nobody lost its place, and every frame shows the avatar.
  for (const each of [player, viewer]) {
    expect(each.isClosed()).toBe(false);
    expect(each.heard.filter(({ type }) => type === 'error')).toEqual([]);
  }
  expect(new Set(viewer.frames.map(({ grey }) => grey))).toEqual(new Set([Math.round(Number(GREY) * 255)]));
  expect(metrics.snapshot().counters.render_errors_total).toBeUndefined();
});
