import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AvatarStream } from '../AvatarStream.ts';
import { frameHeader } from '../testing/frameHeader.ts';
import { detectCodecs } from './detectCodecs.ts';
import { type DecodedPicture, FrameDecoder } from './FrameDecoder.ts';
import { StillDecoder } from './StillDecoder.ts';
import { VideoStreamDecoder } from './VideoStreamDecoder.ts';

/** Node has no WebCodecs: this stands for the browser's, with its rule that a delta needs a key frame before it. */
class StandInVideoDecoder {
  static made: StandInVideoDecoder[] = [];
  static isConfigSupported = async ({ codec }: { codec: string }) => ({ supported: codec === 'vp8' });
  state = 'unconfigured';
  decodeQueueSize = 0;
  codec = '';
  readonly #init: { output(frame: object): void; error(error: Error): void };
  #keyed = false;

  constructor(init: { output(frame: object): void; error(error: Error): void }) {
    this.#init = init;
    StandInVideoDecoder.made.push(this);
  }

  configure({ codec }: { codec: string }): void {
    this.codec = codec;
    this.state = 'configured';
  }

  decode(chunk: { type: string; timestamp: number }): void {
    if (chunk.type === 'key') this.#keyed = true;
    if (!this.#keyed) throw new Error('a key frame is required');
    this.output(chunk.timestamp);
  }

  output(timestamp: number): void {
    this.#init.output({ timestamp, close: () => {} });
  }

  breakDown(): void {
    this.state = 'closed';
    this.#init.error(new Error('corrupt data'));
  }

  close(): void {
    this.state = 'closed';
  }
}

function handlers() {
  const pictures: DecodedPicture[] = [];
  return {
    pictures,
    handlePicture: (picture: DecodedPicture) => void pictures.push(picture),
    handleDropped: vi.fn(),
    handleKeyFrameNeeded: vi.fn(),
    handleError: vi.fn(),
  };
}

const data = new Uint8Array([1]);
const key = { keyFrame: true };

beforeEach(() => {
  StandInVideoDecoder.made = [];
  vi.stubGlobal('VideoDecoder', StandInVideoDecoder);
  vi.stubGlobal(
    'EncodedVideoChunk',
    class {
      constructor(init: object) {
        Object.assign(this, init);
      }
    },
  );
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe('VideoStreamDecoder', () => {
  it('asks for a key frame and drops deltas until it comes', () => {
    const heard = handlers();
    const decoder = new VideoStreamDecoder(heard);
    decoder.decode(frameHeader(), data);
    expect(heard.handleKeyFrameNeeded).toHaveBeenCalledTimes(1);
    expect(heard.handleDropped).toHaveBeenCalledWith(1);
    decoder.decode(frameHeader(key), data);
    decoder.decode(frameHeader({ motionSequence: 9 }), data);
    expect(heard.pictures.map(({ header }) => header.motionSequence)).toEqual([0, 9]);
  });

  it('recovers from a broken decoder with the next key frame', () => {
    const heard = handlers();
    const decoder = new VideoStreamDecoder(heard);
    decoder.decode(frameHeader(key), data);
    StandInVideoDecoder.made[0]!.breakDown();
    expect(heard.handleKeyFrameNeeded).toHaveBeenCalledTimes(1);
    decoder.decode(frameHeader(), data);
    expect(heard.pictures).toHaveLength(1);
    decoder.decode(frameHeader(key), data);
    expect(heard.pictures).toHaveLength(2);
    expect(heard.handleError).not.toHaveBeenCalled();
  });

  it('reports a codec that fails again and again', () => {
    const heard = handlers();
    const decoder = new VideoStreamDecoder(heard);
    vi.spyOn(StandInVideoDecoder.prototype, 'decode').mockImplementation(() => {
      throw new Error('no such thing');
    });
    for (let attempt = 0; attempt < 5; attempt++) decoder.decode(frameHeader(key), data);
    expect(heard.handleError).toHaveBeenCalledTimes(1);
    expect(heard.handleError.mock.calls[0]![0]).toMatchObject({ code: 'decoder_failed' });
  });

  it('starts over at a key frame when it falls behind', () => {
    const heard = handlers();
    const decoder = new VideoStreamDecoder(heard);
    decoder.decode(frameHeader(key), data);
    StandInVideoDecoder.made[0]!.decodeQueueSize = 200;
    decoder.decode(frameHeader(), data);
    expect(heard.handleKeyFrameNeeded).toHaveBeenCalledTimes(1);
    expect(StandInVideoDecoder.made[0]!.state).toBe('closed');
  });

  it('configures anew for another size or codec, and frees the old decoder', () => {
    const decoder = new VideoStreamDecoder(handlers());
    decoder.decode(frameHeader(key), data);
    decoder.decode(frameHeader({ ...key, width: 512, height: 512 }), data);
    decoder.decode(frameHeader({ ...key, width: 512, height: 512, codec: 'vp9' }), data);
    expect(StandInVideoDecoder.made.map(({ codec, state }) => `${codec} ${state}`)).toEqual([
      'vp8 closed',
      'vp8 closed',
      'vp09.00.30.08 configured',
    ]);
    decoder.close();
    decoder.close();
    expect(StandInVideoDecoder.made[2]!.state).toBe('closed');
  });
});

function makeStream(): AvatarStream {
  const now = () => performance.now();
  const link = { send: () => {}, now, serverNow: now, handleClosed: () => {} };
  return new AvatarStream('p1', { size: 256, framesPerSecond: 30 }, link);
}

describe('FrameDecoder', () => {
  it('frees its decoder when the stream ends, and shows nothing afterwards', () => {
    const stream = makeStream();
    const pictures: DecodedPicture[] = [];
    new FrameDecoder(stream, { handlePicture: (picture) => pictures.push(picture) });
    vi.spyOn(StandInVideoDecoder.prototype, 'decode').mockImplementation(() => {});
    stream.handleFrame(frameHeader(key), data, 1);
    stream.handleFrame(frameHeader(), data, 1);
    const decoder = StandInVideoDecoder.made[0]!;
    decoder.output(0);
    expect([decoder.state, pictures.length]).toEqual(['configured', 1]);
    stream.handleEnded('the participant left');
    expect(decoder.state).toBe('closed');
    decoder.output(1);
    expect(pictures).toHaveLength(1);
  });

  it('makes no decoder for a frame on which the stream was ended', () => {
    const stream = makeStream();
    stream.on('frame', () => stream.close());
    new FrameDecoder(stream, { handlePicture: () => {} });
    stream.handleFrame(frameHeader(key), data, 1);
    expect(StandInVideoDecoder.made).toEqual([]);
  });
});

describe('a FrameDecoder of JPEG', () => {
  const still = frameHeader({ ...key, codec: 'jpeg' });
  /** what the application threw and the browser would report */
  let reported: unknown[];
  let bitmaps: { close: ReturnType<typeof vi.fn> }[];

  beforeEach(() => {
    reported = [];
    bitmaps = [];
    vi.stubGlobal('queueMicrotask', (task: () => void) => {
      try {
        task();
      } catch (error) {
        reported.push(error);
      }
    });
    vi.stubGlobal('createImageBitmap', async () => {
      const bitmap = { close: vi.fn() };
      bitmaps.push(bitmap);
      return bitmap;
    });
  });

  it('takes no bug of the application for a broken picture, and goes on', async () => {
    const stream = makeStream();
    const errors: string[] = [];
    stream.on('error', ({ code }) => errors.push(code));
    const bug = new Error('bug in the game');
    new FrameDecoder(stream, {
      handlePicture() {
        throw bug;
      },
    });
    for (const count of [1, 2]) {
      stream.handleFrame(still, data, 1);
      await vi.waitFor(() => expect(bitmaps[count - 1]?.close).toHaveBeenCalledTimes(1));
    }
    expect(reported).toEqual([bug, bug]);
    expect([errors, stream.stats.dropped]).toEqual([[], 0]);
  });

  it('tells of an unreadable picture as an error of the stream, or whoever asked to be told, and goes on', async () => {
    vi.stubGlobal('createImageBitmap', async () => {
      throw new Error('no image');
    });
    const stream = makeStream();
    const errors: string[] = [];
    stream.on('error', ({ code }) => errors.push(code));
    const decoder = new FrameDecoder(stream, { handlePicture: () => {} });
    for (const count of [1, 2]) {
      stream.handleFrame(still, data, 1);
      await vi.waitFor(() => expect(errors).toEqual(Array(count).fill('decoder_failed')));
    }
    decoder.close();
    const told: string[] = [];
    new FrameDecoder(stream, {
      handlePicture: () => {},
      handleError(error) {
        told.push(error.code);
        throw error;
      },
    });
    for (const count of [1, 2]) {
      stream.handleFrame(still, data, 1);
      await vi.waitFor(() => expect(told).toHaveLength(count));
    }
    expect(told).toEqual(['decoder_failed', 'decoder_failed']);
    expect(reported).toHaveLength(2);
    expect(errors, 'not twice').toHaveLength(2);
  });
});

describe('StillDecoder', () => {
  it('decodes the newest picture and drops those that waited too long', async () => {
    const waiting: (() => void)[] = [];
    vi.stubGlobal('createImageBitmap', () => new Promise((resolve) => waiting.push(() => resolve({ close: vi.fn() }))));
    const heard = handlers();
    const decoder = new StillDecoder(heard);
    for (const motionSequence of [1, 2, 3]) decoder.decode(frameHeader({ codec: 'jpeg', motionSequence }), data);
    waiting[0]!();
    await vi.waitFor(() => expect(waiting).toHaveLength(2));
    waiting[1]!();
    await vi.waitFor(() => expect(heard.pictures).toHaveLength(2));
    expect(heard.pictures.map(({ header }) => header.motionSequence)).toEqual([1, 3]);
    expect(heard.handleDropped).toHaveBeenCalledTimes(1);
  });

  it('frees a picture that is ready only after it was closed', async () => {
    const close = vi.fn();
    let ready = () => {};
    vi.stubGlobal('createImageBitmap', () => new Promise((resolve) => (ready = () => resolve({ close }))));
    const heard = handlers();
    const decoder = new StillDecoder(heard);
    decoder.decode(frameHeader({ codec: 'jpeg' }), data);
    decoder.close();
    ready();
    await vi.waitFor(() => expect(close).toHaveBeenCalledTimes(1));
    expect(heard.pictures).toHaveLength(0);
  });
});

describe('detectCodecs', () => {
  it('offers what WebCodecs can decode and JPEG always', async () => {
    expect(await detectCodecs()).toEqual(['vp8', 'jpeg']);
    vi.unstubAllGlobals();
    expect(await detectCodecs()).toEqual(['jpeg']);
  });
});
