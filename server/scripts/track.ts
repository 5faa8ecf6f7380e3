/** A video, or a folder of pictures, in; a motion track out, which drives any avatar (`npm run animate`). */
import { readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Decoder, Demuxer, Scaler } from 'node-av/api';
import sharp from 'sharp';
import { readConfig } from '../src/config.ts';
import { FaceTracker, type TrackedFace } from '../src/inference/faceTracker.ts';
import type { RgbImage } from '../src/inference/faceTrackerPixels.ts';
import { toMotionTrack, trackSequence } from '../src/inference/faceTrackerSequence.ts';

const USAGE = `npx tsx server/scripts/track.ts (--video FILE | --pictures FOLDER [--fps N]) --out TRACK.json

Finds the face in every picture (models/tracker, or FACEWIRE_TRACKER) and writes its pose and 52 coefficients.
--pictures  JPEG, PNG or WebP files, in the order of their names
--fps       of the pictures; default 25`;

const { values } = parseArgs({
  options: {
    video: { type: 'string' },
    pictures: { type: 'string' },
    fps: { type: 'string', default: '25' },
    out: { type: 'string' },
  },
});
const { video, pictures, out } = values;
const fps = Number(values.fps);
if ((video === undefined) === (pictures === undefined) || out === undefined || !(fps > 0 && fps <= 240)) {
  console.error(USAGE);
  process.exit(2);
}
const directory = readConfig(process.env).tracker;
if (directory === '') {
  console.error('no tracker: models/tracker is missing, or FACEWIRE_TRACKER is set to none');
  process.exit(1);
}
const tracker = await FaceTracker.open({ directory });
try {
  const source = video === undefined ? { fps, images: fromFolder(pictures!) } : await fromVideo(video);
  const faces: (TrackedFace | undefined)[] = [];
  for await (const face of trackSequence(tracker, source.images)) faces.push(face);
  const track = toMotionTrack(faces, { source: basename(video ?? pictures!), fps: source.fps });
  await writeFile(out, JSON.stringify(track));
  const found = faces.filter((face) => face !== undefined).length;
  console.log(`${out}: ${faces.length} frames, a face in ${found} of them`);
} finally {
  await tracker.close();
}

async function* fromFolder(folder: string): AsyncGenerator<RgbImage> {
  const names = (await readdir(folder)).filter((name) => /\.(jpe?g|png|webp)$/i.test(name));
  for (const name of names.sort()) {
    const image = sharp(join(folder, name)).autoOrient().flatten({ background: '#808080' }).toColourspace('srgb');
    const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
    yield { rgb: data, width: info.width, height: info.height };
  }
}

/** Node 20 lacks it, and node-av's demuxer ends without a frame or a word when it does. */
function withResolvers<T>() {
  let resolve!: (value: T | PromiseLike<T>) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

async function fromVideo(file: string): Promise<{ fps: number; images: AsyncGenerator<RgbImage> }> {
  if (!('withResolvers' in Promise)) Object.assign(Promise, { withResolvers });
  const input = await Demuxer.open(file);
  const stream = input.video();
  if (stream === undefined) throw new Error(`${file} has no video stream`);
  const { num, den } = stream.avgFrameRate;
  const decoder = await Decoder.create(stream);
  const scaler = new Scaler();
  async function* images(): AsyncGenerator<RgbImage> {
    try {
      for await (const frame of decoder.frames(input.packets(stream!.index))) {
        if (frame === null) continue;
        const rgb = await scaler.toBuffer(frame, { format: 'rgb' });
        yield { rgb, width: frame.width, height: frame.height };
        frame.free();
      }
    } finally {
      decoder.close();
      await input.close();
    }
  }
  return { fps: num > 0 && den > 0 ? num / den : 25, images: images() };
}
