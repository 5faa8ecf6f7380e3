import type { FrameHeader } from '@facewire/proto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AvatarClient } from '../AvatarClient.ts';
import { AvatarScreen, type AvatarScreenOptions } from './AvatarScreen.ts';

const screens: AvatarScreen[] = [];
const data = new Uint8Array([1]);
const still: FrameHeader = {
  keyFrame: true,
  codec: 'jpeg',
  stream: 1,
  motionSequence: 0,
  motionTimeMs: 0,
  serverTimeMs: 0,
  width: 256,
  height: 256,
};

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
