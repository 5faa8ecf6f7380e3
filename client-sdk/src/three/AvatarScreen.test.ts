import { Group, PerspectiveCamera } from 'three';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AvatarClient } from '../AvatarClient.ts';
import { frameHeader } from '../testing/frameHeader.ts';
import { AvatarScreen, type AvatarScreenOptions } from './AvatarScreen.ts';

const screens: AvatarScreen[] = [];
const data = new Uint8Array([1]);
const still = frameHeader({ keyFrame: true, codec: 'jpeg' });

/** A screen that shows p1 of a client that is never connected. */
function makeScreen(options?: AvatarScreenOptions): AvatarScreen {
  const screen = new AvatarScreen(options);
  const transport = () => {
    throw new Error('not to be connected');
  };
  screen.show(new AvatarClient({ transport, room: 'lobby', role: 'viewer', name: 'Vera' }), 'p1');
  screens.push(screen);
  return screen;
}

afterEach(() => {
  for (const screen of screens.splice(0)) screen.dispose();
  vi.unstubAllGlobals();
});

describe('what an AvatarScreen asks for', () => {
  const camera = new PerspectiveCamera(60, 1.5, 0.1, 50);
  let nowMs = 0;

  /** Draws for two seconds. */
  function draw(screen: AvatarScreen, x = 0.3, z = 3) {
    camera.position.set(x, 0, z);
    camera.lookAt(0, 0, 0);
    camera.updateMatrixWorld();
    for (let frame = 0; frame < 120; frame++) {
      nowMs += 1000 / 60;
      screen.update(camera, 800, nowMs);
    }
    return screen.stream!.wanted;
  }

  it.each([
    [0, 0, 0],
    [1, 0, 1],
    [1, 1, 0],
  ])('is no frames and the last view while it is scaled by %i, %i, %i', (x, y, z) => {
    const screen = makeScreen();
    const { view, framesPerSecond } = draw(screen);
    expect(framesPerSecond).toBe(30);
    expect(view.yaw).toBeCloseTo(Math.atan2(0.3, 3));
    screen.scale.set(x, y, z);
    expect(draw(screen, 2)).toMatchObject({ framesPerSecond: 0, view });
    screen.scale.set(1, 1, 1);
    expect(draw(screen).framesPerSecond).toBe(30);
    const parent = new Group().add(screen);
    parent.scale.set(x, y, z);
    expect(draw(screen, 2)).toMatchObject({ framesPerSecond: 0, view });
  });

  it('is no frames while it is not visible, itself or what it hangs on', () => {
    const screen = makeScreen();
    screen.visible = false;
    expect(draw(screen).framesPerSecond).toBe(0);
    screen.visible = true;
    expect(draw(screen).framesPerSecond).toBe(30);
    new Group().add(new Group().add(screen)).visible = false;
    expect(draw(screen).framesPerSecond).toBe(0);
  });

  it('is a view that servers take, whatever view or limits are set', () => {
    const screen = makeScreen({ follow: { maxYaw: 2.5 } });
    expect(draw(screen, 2, -1).view).toEqual({ yaw: Math.PI / 2, pitch: 0 });
    screen.view = { yaw: -2, pitch: 0.5 };
    expect(draw(screen).view).toEqual({ yaw: -Math.PI / 2, pitch: 0.5 });
  });
});

describe('the pictures of an AvatarScreen', () => {
  it('are shown although the application’s onPicture throws', async () => {
    const bug = new Error('bug in the game');
    const reported: unknown[] = [];
    vi.stubGlobal('queueMicrotask', (task: () => void) => {
      try {
        task();
      } catch (error) {
        reported.push(error);
      }
    });
    const bitmap = { width: 256, height: 256, close: vi.fn() };
    vi.stubGlobal('createImageBitmap', async () => bitmap);
    const screen = makeScreen();
    screen.onPicture = () => {
      throw bug;
    };
    screen.stream!.handleFrame(still, data, 1);
    await vi.waitFor(() => expect(reported).toEqual([bug]));
    expect(screen.live).toBe(true);
    expect(bitmap.close, 'the texture still needs it').not.toHaveBeenCalled();
    screen.dispose();
    expect(bitmap.close).toHaveBeenCalledTimes(1);
  });

  it('that cannot be decoded are an error of the stream', async () => {
    vi.stubGlobal('createImageBitmap', async () => {
      throw new Error('no image');
    });
    const { stream } = makeScreen();
    const errors: string[] = [];
    stream!.on('error', ({ code }) => errors.push(code));
    stream!.handleFrame(still, data, 1);
    await vi.waitFor(() => expect(errors).toEqual(['decoder_failed']));
  });
});
