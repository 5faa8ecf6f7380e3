import { synthesizeMotion } from '@facewire/proto';
import { expect, it } from 'vitest';
import type { Peer } from '../server/src/contracts.ts';
import { ModelPackage } from '../server/src/inference/ModelPackage.ts';
import { type DeviceRenderer, MultiRenderer } from '../server/src/inference/MultiRenderer.ts';
import type { OnnxRenderer } from '../server/src/inference/OnnxRenderer.ts';
import { TINY_MODEL } from '../server/src/inference/testdata/tinyAvatar.ts';
import { encoders, openTiny, roomsOn } from './tinyRooms.ts';

/** Whose are which: avatars of the tests' model are named after their grey. */
const ROOMS = { red: ['0.1', '0.2', '0.3'], blue: ['0.5', '0.6'], green: ['0.8'] };

/** A device that remembers what it drew. */
async function recordingDevice(model: ModelPackage) {
  const real = await openTiny(model);
  const drawn = new Map<string, number>();
  const renderer: DeviceRenderer = Object.assign(Object.create(real) as OnnxRenderer, {
    render: async (...values: Parameters<OnnxRenderer['render']>) => {
      for (const { avatar } of values[0]) drawn.set(avatar, (drawn.get(avatar) ?? 0) + 1);
      return real.render(...values);
    },
    close: () => real.close(),
  });
  return { renderer, drawn, uploads: () => real.counters.loads };
}

it('draws all pictures of a room on one device, and rooms on different ones, each avatar uploaded once', async () => {
  const model = await ModelPackage.load(TINY_MODEL);
  const devices = [await recordingDevice(model), await recordingDevice(model)];
  const renderer = new MultiRenderer({ renderers: devices.map((device) => device.renderer) });
  const { registry, scheduler } = roomsOn(renderer, model);
  const players = Object.entries(ROOMS).flatMap(([room, avatars]) => {
    const members = avatars.map((avatar) => registry.addLocalParticipant({ room, name: avatar, avatar, bot: false }));
    const viewer: Peer = {
      id: `viewer of ${room}`,
      transport: 'local',
      sendControl: () => undefined,
      sendFrame: () => undefined,
      bufferedBytes: () => 0,
      close: () => undefined,
    };
    registry.handleOpen(viewer);
    registry.handleControl(viewer, {
      type: 'join',
      version: 1,
      room,
      role: 'viewer',
      name: 'v',
      codecs: [...encoders.codecs],
    });
    for (const { id } of members) {
      registry.handleControl(viewer, {
        type: 'subscribe',
        request: 1,
        participant: id,
        size: 16,
        framesPerSecond: 30,
        view: { yaw: 0, pitch: 0 },
      });
    }
    return members;
  });
  scheduler.start();
  let sequence = 0;
  const moving = setInterval(() => {
    sequence++;
    for (const [seed, player] of players.entries()) {
      player.setMotion({ sequence, timeMs: 33 * sequence, motion: synthesizeMotion(sequence / 30, seed) });
    }
  }, 33);
  try {
    const everybody = Object.values(ROOMS).flat();
    const frames = (avatar: string) => devices.reduce((sum, { drawn }) => sum + (drawn.get(avatar) ?? 0), 0);
    await expect.poll(() => Math.min(...everybody.map(frames))).toBeGreaterThan(10);
  } finally {
    clearInterval(moving);
    await scheduler.close();
  }
  const drawnBy = (avatars: string[]) =>
    devices.flatMap(({ drawn }, device) => (avatars.some((avatar) => drawn.has(avatar)) ? [device] : []));
  for (const avatars of Object.values(ROOMS)) expect(drawnBy(avatars)).toHaveLength(1);
  expect(new Set(Object.values(ROOMS).flatMap(drawnBy))).toEqual(new Set([0, 1]));
  expect(devices.reduce((sum, { uploads }) => sum + uploads(), 0)).toBe(6);
  await renderer.close();
});
