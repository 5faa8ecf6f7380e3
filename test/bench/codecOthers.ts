import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, constants, deflateRawSync } from 'node:zlib';
import { encodeMotion, type MotionSample } from '@facewire/proto';
import { Packr } from 'msgpackr';
import protobuf from 'protobufjs';
import { samplesOf } from './codecMeasure.ts';
import type { BenchTrack } from './tracks.ts';

const HEADER_BYTES = 4; // sequence and time
const DICTIONARY_BYTES = 32768;

/** Mean bytes a packet of other ways to send the same motions; what is learned is learned on other tracks. */
export function measureOthers(tracks: readonly BenchTrack[]): Record<string, number | string> {
  const samples = tracks.map(samplesOf);
  const all = samples.flat();
  const mean = (size: (sample: MotionSample) => number): number =>
    round(all.reduce((sum, sample) => sum + size(sample), 0) / all.length);
  const halves = samples.map((each) => each.map(halfFloats));
  const packr = new Packr({ useRecords: false, useFloat32: 1 });
  const message = motionMessage();
  const dictionaryFor = (track: number): Buffer =>
    Buffer.concat(
      halves.filter((_, other) => other !== track).flatMap((each) => each.filter((_b, at) => at % 8 === 0)),
    ).subarray(-DICTIONARY_BYTES);
  const others: Record<string, number | string> = {
    fixedLayout: mean((sample) => encodeMotion(sample).length),
    msgpackr: mean((sample) => packr.pack(asObject(sample)).length),
    protobuf: mean((sample) => message.encode(asObject(sample)).finish().length),
    fp16: 2 * 58 + HEADER_BYTES,
    fp16Brotli: round(
      meanOf(
        halves.flat(),
        (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length,
      ) + HEADER_BYTES,
    ),
    fp16DeflateDictionary: round(
      halves.reduce((sum, each, track) => {
        const dictionary = dictionaryFor(track);
        return sum + each.reduce((total, bytes) => total + deflateRawSync(bytes, { level: 9, dictionary }).length, 0);
      }, 0) /
        all.length +
        HEADER_BYTES,
    ),
    fp16ZstdDictionary: zstd(halves) ?? 'no zstd program on this machine',
    faceVid2vidScheme: round(faceVid2vidScheme(halves) + HEADER_BYTES),
    faceVid2vidPublished: '132 fp16, 84 coded, 53 adaptive (20 keypoints, their own data)',
  };
  return others;
}

/** Wang et al. 2021, appendix: fp16, frequencies of high and low bytes, arithmetic coding; ideal length, rounded up. */
function faceVid2vidScheme(halves: readonly Buffer[][]): number {
  let bits = 0;
  let count = 0;
  for (const parity of [0, 1]) {
    const frequencies = Array.from({ length: 116 }, () => new Float64Array(256).fill(0.05));
    halves.forEach((track, index) => {
      if (index % 2 === parity) return;
      for (const packet of track) {
        packet.forEach((byte, at) => {
          frequencies[at]![byte] = frequencies[at]![byte]! + 1;
        });
      }
    });
    const sums = frequencies.map((table) => table.reduce((sum, each) => sum + each, 0));
    halves.forEach((track, index) => {
      if (index % 2 !== parity) return;
      for (const packet of track) {
        let length = 0;
        packet.forEach((byte, at) => {
          length -= Math.log2(frequencies[at]![byte]! / sums[at]!);
        });
        bits += 8 * Math.ceil(length / 8);
        count++;
      }
    });
  }
  return bits / 8 / count;
}

/** zstd -19 with a dictionary trained on the other tracks, through the program: Node 20 has none built in. */
function zstd(halves: readonly Buffer[][]): number | undefined {
  if (spawnSync('zstd', ['--version']).status !== 0) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'facewire-zstd-'));
  try {
    let bytes = 0;
    let count = 0;
    halves.forEach((track, index) => {
      const mine = join(folder, `${index}`);
      mkdirSync(join(mine, 'train'), { recursive: true });
      mkdirSync(join(mine, 'test'));
      const others = halves
        .filter((_, other) => other !== index)
        .flat()
        .filter((_, at) => at % 4 === 0);
      others.forEach((packet, at) => void writeFileSync(join(mine, 'train', `${at}`), packet));
      const chosen = track.filter((_, at) => at % 4 === 0);
      chosen.forEach((packet, at) => void writeFileSync(join(mine, 'test', `${at}`), packet));
      const dictionary = join(mine, 'dictionary');
      const files = (part: string): string[] => readdirSync(join(mine, part)).map((name) => join(mine, part, name));
      const trained = spawnSync('zstd', [
        '-q',
        '--train',
        ...files('train'),
        '--maxdict=65536',
        '--dictID=1',
        '-o',
        dictionary,
      ]);
      if (trained.status !== 0) return;
      spawnSync('zstd', ['-q', '-19', '--no-check', '-D', dictionary, '--rm', ...files('test')]);
      for (const file of files('test')) bytes += statSync(file).size;
      count += chosen.length;
    });
    return count === 0 ? undefined : round(bytes / count + HEADER_BYTES);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function numbersOf({ motion: { pose, expression } }: MotionSample): number[] {
  return [pose.pitch, pose.yaw, pose.roll, pose.tx, pose.ty, pose.logScale, ...expression];
}

function asObject(sample: MotionSample): object {
  const numbers = numbersOf(sample).map(Math.fround);
  return { sequence: sample.sequence, timeMs: sample.timeMs, pose: numbers.slice(0, 6), expression: numbers.slice(6) };
}

function motionMessage(): protobuf.Type {
  return protobuf
    .parse(
      `syntax = "proto3"; message Motion { uint32 sequence = 1; uint32 timeMs = 2; repeated float pose = 3; repeated float expression = 4; }`,
    )
    .root.lookupType('Motion');
}

/** 58 half floats, all high bytes first: easier on general compressors than interleaved. */
function halfFloats(sample: MotionSample): Buffer {
  const numbers = numbersOf(sample);
  const bytes = Buffer.alloc(2 * numbers.length);
  numbers.forEach((number, index) => {
    const half = toHalf(number);
    bytes[index] = half >> 8;
    bytes[numbers.length + index] = half & 0xff;
  });
  return bytes;
}

/** Nearest half float of numbers below 65504. */
function toHalf(value: number): number {
  const sign = value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size < 2 ** -14) return sign | Math.round(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | (((exponent + 15) << 10) + Math.round((size / 2 ** exponent - 1) * 1024));
}

const meanOf = <T>(items: readonly T[], size: (item: T) => number): number =>
  items.reduce((sum, item) => sum + size(item), 0) / items.length;

const round = (value: number): number => Math.round(value * 100) / 100;
