import { parseArgs } from 'node:util';

export interface AnimateOptions {
  portrait: string;
  landmarks: string | undefined;
  track: string;
  /** degrees, added on the left of the head's own rotation (free view) */
  yawDegrees: number;
  out: string;
  size: number;
  model: string | undefined;
  /** frames at most */
  frames: number;
  /** as a server shows it of so many packets a second; undefined: the track as it is */
  packets: number | undefined;
}

export const USAGE = `npm run animate -- --portrait FILE [--landmarks FILE] --track TRACK.json [--yaw DEGREES] --out DIR
  [--size 128|256|512] [--model DIR] [--frames N] [--packets N]

Drives a portrait with a motion track through the server's own renderer and writes PNGs, sheet.jpg and video.webm.
--landmarks  68 points in pixels, [[x, y], …] or {"landmarks": [[x, y], …]}; default: the .json beside the portrait
--yaw        turns the view
--packets    as a server shows it of so many packets a second: coded, calmed, moved on between; default: as recorded`;

/** Throws TypeError or RangeError that say what is wrong. */
export function readOptions(args: string[]): AnimateOptions {
  const { values } = parseArgs({
    args,
    options: {
      portrait: { type: 'string' },
      landmarks: { type: 'string' },
      track: { type: 'string' },
      yaw: { type: 'string', default: '0' },
      out: { type: 'string' },
      size: { type: 'string', default: '256' },
      model: { type: 'string' },
      frames: { type: 'string', default: '100000' },
      packets: { type: 'string' },
    },
  });
  const required = (name: 'portrait' | 'track' | 'out') => {
    const value = values[name];
    if (!value) throw new TypeError(`--${name} is missing`);
    return value;
  };
  const number = (name: string, text: string, low: number, high: number) => {
    const value = Number(text);
    if (!Number.isFinite(value) || value < low || value > high) {
      throw new RangeError(`--${name} ${text}: expected a number from ${low} to ${high}`);
    }
    return value;
  };
  return {
    portrait: required('portrait'),
    landmarks: values.landmarks,
    track: required('track'),
    out: required('out'),
    yawDegrees: number('yaw', values.yaw, -60, 60),
    size: number('size', values.size, 16, 1024),
    frames: Math.floor(number('frames', values.frames, 1, 1e6)),
    model: values.model,
    packets: values.packets === undefined ? undefined : number('packets', values.packets, 1, 120),
  };
}
