import { describe, expect, it, vi } from 'vitest';
import { DrawRate } from './DrawRate.ts';
import { FrameTexture } from './FrameTexture.ts';
import { chooseRate, chooseSize, followView, projectedPixels } from './screenMath.ts';

describe('followView', () => {
  it('is straight on in front of the screen', () => {
    expect(followView({ x: 0, y: 0, z: 3 })).toEqual({ yaw: 0, pitch: 0 });
  });

  it('turns the face to the image’s left (positive yaw) for a viewer who stands to the right, and the other way round', () => {
    expect(followView({ x: 1, y: 0, z: 3 }).yaw).toBeCloseTo(Math.atan2(1, 3));
    expect(followView({ x: -1, y: 0, z: 3 }).yaw).toBeCloseTo(-Math.atan2(1, 3));
  });

  it('shows the head from above (positive pitch) to a viewer who is higher', () => {
    expect(followView({ x: 0, y: 1, z: 4 }).pitch).toBeCloseTo(Math.atan2(1, 4));
    expect(followView({ x: 0, y: -1, z: 4 }).pitch).toBeCloseTo(-Math.atan2(1, 4));
  });

  it('puts the nose where the nose of a real head at the screen would be', () => {
    const camera = { x: 1.1, y: 0.7, z: 3 };
    const length = Math.hypot(camera.x, camera.y, camera.z);
    const horizontal = Math.hypot(camera.x, camera.z);
    // Camera axes of a viewer who looks at the screen's centre: right, and down. The head's nose is along +z.
    const right = { x: camera.z / horizontal, z: -camera.x / horizontal };
    const noseRight = right.z;
    const noseDown = (camera.y / length) * (camera.z / horizontal);
    const { yaw, pitch } = followView(camera);
    expect(-Math.sin(yaw) * Math.cos(pitch)).toBeCloseTo(noseRight);
    expect(Math.sin(pitch)).toBeCloseTo(noseDown);
  });

  it('stays within what the renderers can show, also from behind', () => {
    for (const camera of [
      { x: 9, y: 9, z: 0.1 },
      { x: -9, y: -9, z: -1 },
      { x: 0, y: 0, z: -1 },
      { x: 0, y: 0, z: 0 },
    ]) {
      const { yaw, pitch } = followView(camera);
      expect(Math.abs(yaw)).toBeLessThanOrEqual(0.6);
      expect(Math.abs(pitch)).toBeLessThanOrEqual(0.35);
    }
  });

  it('asks for no view that a server refuses, whatever the limits', () => {
    const { yaw, pitch } = followView({ x: 2, y: 0, z: -1 }, { gain: 1, maxYaw: 2.5, maxPitch: 2.5 });
    expect({ yaw, pitch }).toEqual({ yaw: Math.PI / 2, pitch: 0 });
  });

  it('scales by the gain', () => {
    const options = { gain: 0.5, maxYaw: 1, maxPitch: 1 };
    expect(followView({ x: 1, y: 0, z: 1 }, options).yaw).toBeCloseTo(Math.PI / 8);
  });
});

describe('what a screen asks for', () => {
  const sizes = [128, 256, 512];

  it('is as large as the screen appears', () => {
    const pixels = (distance: number) => projectedPixels(1.2, distance, Math.PI / 3, 1080);
    expect(pixels(2)).toBeCloseTo(1080 * (1.2 / (2 * Math.tan(Math.PI / 6) * 2)));
    expect(chooseSize(pixels(10), 128, sizes)).toBe(128);
    expect(chooseSize(pixels(5), 128, sizes)).toBe(256);
    expect(chooseSize(pixels(1), 128, sizes)).toBe(512);
    expect(chooseSize(pixels(1), 128, sizes, 256), 'never above the limit').toBe(256);
  });

  it('does not flip between two sizes when the viewer sways', () => {
    expect(chooseSize(270, 256, sizes)).toBe(256);
    expect(chooseSize(240, 512, sizes)).toBe(512);
    expect(chooseSize(200, 512, sizes)).toBe(256);
    expect(chooseSize(320, 256, sizes)).toBe(512);
  });

  it('is no frames while it is out of sight and half as many far away', () => {
    expect(chooseRate(true, 300, 30, 60)).toBe(30);
    expect(chooseRate(true, 40, 30, 60)).toBe(15);
    expect(chooseRate(false, 300, 30, 60)).toBe(0);
  });

  it('is never more frames than are drawn', () => {
    expect(chooseRate(true, 300, 30, 29)).toBe(30);
    expect(chooseRate(true, 300, 30, 7)).toBe(5);
    expect(chooseRate(true, 300, 30, 0.5)).toBe(2);
    expect(chooseRate(true, 300, 1, 60)).toBe(1);
  });

  it('knows how often it is drawn', () => {
    const rate = new DrawRate();
    for (let frame = 0; frame <= 50; frame++) rate.handleDrawn(frame * 40);
    expect(rate.perSecond).toBeCloseTo(25);
  });
});

describe('FrameTexture', () => {
  const frame = (width = 256) => ({ width, height: width, close: vi.fn() }) as unknown as ImageBitmap;

  it('frees a frame once it is on the GPU, once', () => {
    const texture = new FrameTexture();
    const first = frame();
    texture.setFrame(first);
    expect(first.close).not.toHaveBeenCalled();
    texture.onUpdate?.(texture);
    texture.dispose();
    expect(first.close).toHaveBeenCalledTimes(1);
  });

  it('frees a frame that a newer one replaces before it was drawn', () => {
    const texture = new FrameTexture();
    const first = frame();
    const second = frame();
    texture.setFrame(first);
    texture.setFrame(second);
    expect(first.close).toHaveBeenCalledTimes(1);
    texture.dispose();
    expect(second.close).toHaveBeenCalledTimes(1);
  });

  it('gets new storage when the size changes', () => {
    const texture = new FrameTexture();
    const disposed = vi.fn();
    texture.addEventListener('dispose', disposed);
    texture.setFrame(frame(128));
    texture.setFrame(frame(128));
    expect(disposed).not.toHaveBeenCalled();
    texture.setFrame(frame(256));
    expect(disposed).toHaveBeenCalledTimes(1);
  });
});
