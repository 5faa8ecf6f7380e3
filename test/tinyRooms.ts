import type { EncoderFactory, Renderer } from '../server/src/contracts.ts';
import { LatestFrameFanOut } from '../server/src/fanout/index.ts';
import type { ModelPackage } from '../server/src/inference/ModelPackage.ts';
import { OnnxRenderer } from '../server/src/inference/OnnxRenderer.ts';
import { tinyAvatar } from '../server/src/inference/testdata/tinyAvatar.ts';
import { MetricsRegistry } from '../server/src/metrics/index.ts';
import { RoomRegistry } from '../server/src/room/index.ts';
import { FrameScheduler } from '../server/src/scheduler/index.ts';

/** Passes pictures on as they are, one byte of each: what is asked of these rooms is which pictures come. */
export const encoders: EncoderFactory = {
  codecs: ['jpeg'],
  create: (codec) => ({
    codec,
    encode: async ({ rgb }) => ({ codec, keyFrame: true, data: rgb!.slice(0, 1) }),
    close: () => undefined,
  }),
};

/** A device that draws the tests' model; its avatars are named after their grey. */
export function openTiny(model: ModelPackage): Promise<OnnxRenderer> {
  return OnnxRenderer.create({
    package: model,
    threads: 1,
    loadAvatar: async (id) => tinyAvatar(id, Number(id)),
  });
}

/** Rooms whose pictures that renderer draws, as the server puts them together; the scheduler is not started. */
export function roomsOn(renderer: Renderer, model: ModelPackage) {
  const metrics = new MetricsRegistry();
  const fanOut = new LatestFrameFanOut({ metrics });
  const registry = new RoomRegistry({
    avatars: { get: (id) => ({ id, name: id, model: model.id, builtIn: true, createdAt: '' }) },
    codecs: encoders.codecs,
    sizes: renderer.sizes,
    fanOut,
    metrics,
  });
  const scheduler = new FrameScheduler({ source: registry, renderer, encoders, fanOut, metrics });
  return { registry, scheduler, metrics };
}
