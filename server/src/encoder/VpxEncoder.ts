import { FacewireError } from '@facewire/proto';
import type { EncodedFrame, RenderedPicture, VideoEncoder } from '../contracts.ts';
import { targetBitrate } from './bitrate.ts';

/** The parts of node-av that are used, so that the server starts where its binary cannot be loaded. */
export type NodeAv = typeof import('node-av/lib') & typeof import('node-av/constants');

const ENCODER_NAMES = { vp8: 'libvpx', vp9: 'libvpx-vp9' } as const;
export type VpxCodec = keyof typeof ENCODER_NAMES;

/** Presentation times are milliseconds, as they come. */
const TIME_BASE_PER_SECOND = 1000;
/** A key frame comes when it is asked for; this many frames is the longest without one. */
const KEY_FRAME_INTERVAL = 3000;

export function hasVpxEncoder(av: NodeAv, codec: VpxCodec): boolean {
  return av.Codec.findEncoderByName(ENCODER_NAMES[codec] as never) !== null;
}

/**
 * VP8 or VP9 through FFmpeg's libvpx in real-time mode: one picture in, one packet out, no delay. The encoding runs on a
 * worker thread.
 */
export class VpxEncoder implements VideoEncoder {
  readonly codec: VpxCodec;
  private readonly av: NodeAv;
  private readonly size: number;
  private readonly context: InstanceType<NodeAv['CodecContext']>;
  private readonly frame: InstanceType<NodeAv['Frame']>;
  private readonly packet: InstanceType<NodeAv['Packet']>;
  private lastPts = -1n;
  private busy = false;
  private closed = false;

  /** @throws FacewireError encoder_failed when libvpx refuses the settings */
  constructor(av: NodeAv, codec: VpxCodec, size: number, framesPerSecond: number) {
    this.av = av;
    this.codec = codec;
    this.size = size;
    this.context = new av.CodecContext();
    this.frame = new av.Frame();
    this.packet = new av.Packet();
    try {
      this.open(framesPerSecond);
    } catch (cause) {
      this.free();
      throw failed(`${codec} encoder for ${size}² cannot be opened: ${(cause as Error).message}`, cause);
    }
  }

  /**
   * @param picture with i420 planes of this encoder's size; not kept
   * @param options.timestampMs ever rising; what does not rise counts as one millisecond later
   * @throws FacewireError encoder_failed
   */
  async encode(picture: RenderedPicture, options: { keyFrame: boolean; timestampMs: number }): Promise<EncodedFrame> {
    if (this.closed) throw failed('the encoder is closed');
    if (this.busy) throw failed('a picture is being encoded already: calls are made one at a time');
    const { i420 } = picture;
    const expected = (this.size * this.size * 3) / 2;
    if (picture.size !== this.size || i420?.byteLength !== expected) {
      throw failed(
        `a ${picture.size}² picture with ${i420?.byteLength ?? 'no'} bytes of I420 reached the ${this.codec} encoder ` +
          `of ${this.size}², which takes ${expected}`,
      );
    }
    this.busy = true;
    try {
      const pts = BigInt(Math.round(options.timestampMs));
      this.lastPts = pts > this.lastPts ? pts : this.lastPts + 1n;
      this.fill(i420, options.keyFrame);
      // FFmpeg runs libvpx inside send_frame; the packet is ready when that is done.
      this.check(await this.context.sendFrame(this.frame), 'send_frame');
      this.check(this.context.receivePacketSync(this.packet), 'receive_packet');
      const { data, isKeyframe } = this.packet;
      if (data === null) throw failed(`${this.codec} gave an empty packet`);
      // A copy: the packet's memory goes back to FFmpeg.
      return { codec: this.codec, keyFrame: isKeyframe, data: Uint8Array.from(data) };
    } finally {
      this.packet.unref();
      this.busy = false;
      if (this.closed) this.free();
    }
  }

  /** Frees FFmpeg's memory, after the picture under way. May be called twice. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (!this.busy) this.free();
  }

  private open(framesPerSecond: number): void {
    const { av, context } = this;
    const encoder = av.Codec.findEncoderByName(ENCODER_NAMES[this.codec] as never);
    if (encoder === null) throw new Error(`FFmpeg has no ${ENCODER_NAMES[this.codec]}`);
    const bitrate = BigInt(targetBitrate(this.size, framesPerSecond));
    context.allocContext3(encoder);
    context.width = this.size;
    context.height = this.size;
    context.pixelFormat = av.AV_PIX_FMT_YUV420P;
    context.timeBase = new av.Rational(1, TIME_BASE_PER_SECOND);
    context.framerate = new av.Rational(Math.round(framesPerSecond * 100), 100);
    // constant bit rate with a buffer of one second: what real-time networks ask for
    context.bitRate = bitrate;
    context.rcMinRate = bitrate;
    context.rcMaxRate = bitrate;
    context.rcBufferSize = Number(bitrate);
    context.gopSize = KEY_FRAME_INTERVAL;
    context.qMin = 4;
    context.qMax = 52;
    // One thread a stream: the server encodes many streams at once.
    context.threadCount = 1;
    context.colorSpace = av.AVCOL_SPC_SMPTE170M;
    context.colorRange = av.AVCOL_RANGE_MPEG;
    const settings = {
      deadline: 'realtime',
      'cpu-used': this.codec === 'vp8' ? 6 : 8,
      'lag-in-frames': 0,
      'auto-alt-ref': 0,
      'error-resilient': 0,
      'max-intra-rate': 600,
    };
    // Set one by one: a Dictionary passed to open2 is freed twice (node-av 6.1) and takes the process with it.
    for (const [name, value] of Object.entries(settings)) this.check(context.setOption(name, value), name);
    this.check(context.open2Sync(encoder, null), 'open');
    this.frame.alloc();
    this.frame.width = this.size;
    this.frame.height = this.size;
    this.frame.format = av.AV_PIX_FMT_YUV420P;
    this.frame.colorSpace = av.AVCOL_SPC_SMPTE170M;
    this.frame.colorRange = av.AVCOL_RANGE_MPEG;
    this.check(this.frame.getBuffer(), 'frame buffer');
    this.packet.alloc();
  }

  private fill(i420: Uint8Array, keyFrame: boolean): void {
    this.check(this.frame.makeWritable(), 'make_writable');
    this.check(this.frame.fromBuffer(Buffer.from(i420.buffer, i420.byteOffset, i420.byteLength)), 'frame copy');
    this.frame.pts = this.lastPts;
    this.frame.pictType = keyFrame ? this.av.AV_PICTURE_TYPE_I : this.av.AV_PICTURE_TYPE_NONE;
  }

  private check(result: number, what: string): void {
    if (result < 0) throw failed(`${this.codec}, ${what}: ${new this.av.FFmpegError(result).message}`);
  }

  private free(): void {
    this.context.freeContext();
    this.frame.free();
    this.packet.free();
  }
}

function failed(message: string, cause?: unknown): FacewireError {
  return new FacewireError('encoder_failed', message, { cause });
}
