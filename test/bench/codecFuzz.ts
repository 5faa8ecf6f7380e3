/**
 * Mutated compact packets: each must decode to a valid motion or a typed error, and in bounded time. One that takes
 * longer is replayed from the same state, and its fastest time counts: a pause of the machine is none of the decoder's.
 *
 *     npx tsx test/bench/codecFuzz.ts [--packets 1000000] [--seed 1]
 */
import { pathToFileURL } from 'node:url';
import {
  CompactMotionDecoder,
  CompactMotionEncoder,
  FacewireError,
  type Motion,
  type MotionSample,
  synthesizeMotion,
} from '@facewire/proto';
import { mulberry } from './tracks.ts';

export interface FuzzResult {
  packets: number;
  decoded: number;
  refused: Record<string, number>;
  /** anything else than a valid motion or a FacewireError: must stay 0 */
  failures: string[];
  /** of the packets' times, a suspicious one's being the fastest of its replays */
  slowestMs: number;
  /** packets that take longer than BOUND_MS every time: must stay 0 */
  beyondBound: number;
  /** packets that did so once and not when replayed: the machine paused, or the engine collected garbage */
  pauses: number;
}

const CORPUS = 240;
const BOUND_MS = 2;
/** how often a packet that was beyond the bound is tried again */
const REPLAYS = 10;
const LIMIT = 1e-6;

export function fuzzCompact(packets: number, seed: number): FuzzResult {
  const random = mulberry(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const streams = [
    corpus({}, 0),
    corpus({}, 8),
    corpus({ delivery: 'acknowledged' }, 0),
    corpus({ expressionStep: 1 / 16 }, 3),
  ];
  const result: FuzzResult = {
    packets,
    decoded: 0,
    refused: {},
    failures: [],
    slowestMs: 0,
    beyondBound: 0,
    pauses: 0,
  };
  let run = new Run();
  let stream = streams[0]!;
  let next = 0;
  for (let count = 0; count < packets; count++) {
    if (count % CORPUS === 0) {
      stream = streams[below(streams.length)]!;
      run = new Run();
      next = 0;
    }
    // the stream itself goes on between mutated packets, so that they meet a decoder in the middle of its work
    if (next < stream.length && (next === 0 || random() < 0.3)) {
      // a mutated counter reads as a gap, and a gap breaks the chain: begin it again
      next = attempt(run, stream[next]!, result, false) ? next + 1 : 0;
    }
    // half of them pass for the packet that is due: the same header, another body
    const due = random() < 0.5 ? stream[next % stream.length]! : undefined;
    const packet = mutate(due ?? stream[below(stream.length)]!, below, random, due === undefined ? 0 : 1);
    // one that decodes is a step of the stream like any other: what is due no longer follows it
    if (attempt(run, packet, result, true)) next = 0;
  }
  return result;
}

function corpus(options: ConstructorParameters<typeof CompactMotionEncoder>[0], keypoints: number): Uint8Array[] {
  const encoder = new CompactMotionEncoder(options);
  return Array.from({ length: CORPUS }, (_, index) => {
    const motion = synthesizeMotion(index / 30, keypoints);
    if (keypoints > 0)
      motion.keypoints = Float32Array.from({ length: 3 * keypoints }, (_n, at) => Math.sin(index / 20 + at));
    if (index === 100) encoder.configure({ expressionCount: 30 });
    if (index === 150) encoder.reset();
    const packet = encoder.encode({ motion, sequence: index, timeMs: index * 33 });
    encoder.acknowledge(index - 3);
    return packet;
  });
}

/** `kept`: bytes at the beginning that stay. */
function mutate(packet: Uint8Array, below: (limit: number) => number, random: () => number, kept: number): Uint8Array {
  const kind = kept === 0 ? below(6) : 3 + below(3);
  if (kind === 0) return packet.slice(0, below(packet.length + 1));
  if (kind === 1) return Uint8Array.of(...packet, ...Array.from({ length: 1 + below(40) }, () => below(256)));
  if (kind === 2) return Uint8Array.from({ length: below(90) }, (_, at) => (at === 0 ? 0x40 + below(192) : below(256)));
  const copy = packet.slice();
  const changes = kind === 3 ? 1 : 1 + below(6);
  for (let each = 0; each < changes; each++) {
    const at = Math.min(copy.length - 1, kept + below(copy.length));
    copy[at] = kind === 4 ? below(256) : copy[at]! ^ (1 << below(8));
  }
  if (random() < 0.9 && copy[0]! < 0x40) copy[0] = copy[0]! | 0x40;
  return copy;
}

/** A decoder and all that it has been given, so that a packet can meet the same state again. */
class Run {
  readonly decoder = new CompactMotionDecoder();
  private readonly given: Uint8Array[] = [];

  decode(packet: Uint8Array): MotionSample {
    this.given.push(packet);
    return this.decoder.decode(packet);
  }

  /** Time of the last packet at its best, in ms: tried REPLAYS times, or until it is within the bound. */
  replay(): number {
    const last = this.given.at(-1)!;
    let bestMs = Number.POSITIVE_INFINITY;
    for (let count = 0; count < REPLAYS && bestMs > BOUND_MS; count++) {
      const decoder = new CompactMotionDecoder();
      for (const packet of this.given.slice(0, -1)) decodeOrRefuse(decoder, packet);
      const start = performance.now();
      decodeOrRefuse(decoder, last);
      bestMs = Math.min(bestMs, performance.now() - start);
    }
    return bestMs;
  }
}

function decodeOrRefuse(decoder: CompactMotionDecoder, packet: Uint8Array): void {
  try {
    decoder.decode(packet);
  } catch {
    // attempt() has looked at the error when it came first
  }
}

function attempt(run: Run, packet: Uint8Array, result: FuzzResult, counted: boolean): boolean {
  const start = performance.now();
  let sample: MotionSample | undefined;
  let refusal: unknown;
  try {
    sample = run.decode(packet);
  } catch (error) {
    refusal = error;
  }
  const firstMs = performance.now() - start;
  const tookMs = firstMs > BOUND_MS ? run.replay() : firstMs;
  result.slowestMs = Math.max(result.slowestMs, tookMs);
  if (tookMs > BOUND_MS) result.beyondBound++;
  else if (firstMs > BOUND_MS) result.pauses++;
  if (sample === undefined) {
    if (!(refusal instanceof FacewireError)) {
      result.failures.push(`${refusal} on ${Buffer.from(packet).toString('hex')}`);
    } else if (counted) result.refused[refusal.code] = (result.refused[refusal.code] ?? 0) + 1;
    return false;
  }
  if (!isValid(sample)) result.failures.push(`invalid motion from ${Buffer.from(packet).toString('hex')}`);
  else if (counted) result.decoded++;
  return true;
}

function isValid({ motion, sequence, timeMs }: MotionSample): boolean {
  const within = (value: number, low: number, high: number): boolean => value >= low - LIMIT && value <= high + LIMIT;
  const { pose, expression, keypoints }: Motion = motion;
  return (
    [pose.pitch, pose.yaw, pose.roll].every((angle) => within(angle, -Math.PI, Math.PI)) &&
    [pose.tx, pose.ty, pose.logScale].every((length) => within(length, -4, 4)) &&
    expression.length === 52 &&
    expression.every((each) => within(each, 0, 1)) &&
    (keypoints?.every((each) => within(each, -4, 4)) ?? true) &&
    Number.isInteger(sequence) &&
    within(sequence, 0, 65535) &&
    Number.isInteger(timeMs) &&
    within(timeMs, 0, 65535)
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const option = (name: string, fallback: number): number => {
    const at = process.argv.indexOf(name);
    return at < 0 ? fallback : Number(process.argv[at + 1]);
  };
  const result = fuzzCompact(option('--packets', 1_000_000), option('--seed', 1));
  console.log(JSON.stringify({ ...result, failures: result.failures.slice(0, 10) }));
  process.exitCode = result.failures.length === 0 && result.beyondBound === 0 ? 0 : 1;
}
