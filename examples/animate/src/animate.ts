import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MotionTrack, trackToMotions } from '@facewire/proto';
import { type Landmarks, openEngine, readConfig } from '@facewire/server';
import sharp from 'sharp';
import { asReceived } from './asReceived.ts';
import type { AnimateOptions } from './options.ts';
import { openVideo } from './video.ts';

/** Pictures on the contact sheet. */
const SHEET_COLUMNS = 6;
const SHEET_ROWS = 4;

export interface AnimateReport {
  frames: number;
  framesPerSecond: number;
  msPerFrame: number;
  out: string;
}

/** Portrait in, pictures of it moving like the track out. Throws FacewireError for a bad portrait, SyntaxError for bad JSON. */
export async function animate(options: AnimateOptions, log: (line: string) => void): Promise<AnimateReport> {
  const track = JSON.parse(await readFile(options.track, 'utf8')) as MotionTrack;
  const recorded = trackToMotions(track).slice(0, options.frames);
  const motions = options.packets === undefined ? recorded : asReceived(recorded, track.fps, options.packets);
  const dataDir = await mkdtemp(join(tmpdir(), 'facewire-animate-'));
  const config = readConfig({ ...process.env, FACEWIRE_DATA: dataDir });
  const engine = await openEngine(
    { ...config, ...(options.model ? { model: options.model } : {}) },
    { builtIns: false },
  );
  try {
    const { renderer, avatars } = engine;
    if (!renderer.sizes.includes(options.size)) {
      throw new RangeError(`--size ${options.size}: model ${renderer.model} has ${renderer.sizes.join(', ')}`);
    }
    const landmarks = await readLandmarks(options);
    const avatar = await avatars.create(await readFile(options.portrait), {
      name: 'portrait',
      ...(landmarks ? { landmarks } : {}),
    });
    await mkdir(options.out, { recursive: true });
    const view = { yaw: (options.yawDegrees * Math.PI) / 180, pitch: 0 };
    const video = await openVideo(join(options.out, 'video.webm'), options.size, track.fps);
    const sheet: Buffer[] = [];
    const sheetStep = Math.max(1, Math.floor(motions.length / (SHEET_COLUMNS * SHEET_ROWS)));
    let renderMs = 0;
    for (let start = 0; start < motions.length; start += renderer.maxBatch) {
      const batch = motions.slice(start, start + renderer.maxBatch);
      const beganAtMs = performance.now();
      const frames = await renderer.render(
        batch.map((motion) => ({ avatar: avatar.id, size: options.size, view, motion })),
        { i420: true, rgb: true },
      );
      renderMs += performance.now() - beganAtMs;
      for (const [offset, frame] of frames.entries()) {
        const index = start + offset;
        const raw = { width: options.size, height: options.size, channels: 3 as const };
        const png = await sharp(frame.rgb!, { raw }).png({ compressionLevel: 6 }).toBuffer();
        await sharp(png).toFile(join(options.out, `frame-${String(index).padStart(5, '0')}.png`));
        await video.write(frame.i420!);
        if (index % sheetStep === 0 && sheet.length < SHEET_COLUMNS * SHEET_ROWS) sheet.push(png);
      }
      log(`${Math.min(start + renderer.maxBatch, motions.length)} of ${motions.length} frames`);
    }
    await video.close();
    await writeSheet(join(options.out, 'sheet.jpg'), sheet, options.size);
    const msPerFrame = Math.round((renderMs / Math.max(1, motions.length)) * 100) / 100;
    return { frames: motions.length, framesPerSecond: track.fps, msPerFrame, out: options.out };
  } finally {
    await engine.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function readLandmarks({ portrait, landmarks }: AnimateOptions): Promise<Landmarks | undefined> {
  const beside = portrait.replace(/\.[^./]+$/, '.json');
  const file = landmarks ?? (existsSync(beside) ? beside : undefined);
  if (file === undefined) return undefined;
  const value = JSON.parse(await readFile(file, 'utf8')) as Landmarks | { landmarks: Landmarks };
  return 'landmarks' in value ? value.landmarks : value;
}

async function writeSheet(file: string, pictures: readonly Buffer[], size: number): Promise<void> {
  const rows = Math.ceil(pictures.length / SHEET_COLUMNS);
  await sharp({
    create: { width: SHEET_COLUMNS * size, height: Math.max(1, rows) * size, channels: 3, background: '#111' },
  })
    .composite(
      pictures.map((input, index) => ({
        input,
        left: (index % SHEET_COLUMNS) * size,
        top: Math.floor(index / SHEET_COLUMNS) * size,
      })),
    )
    .jpeg({ quality: 88 })
    .toFile(file);
}
