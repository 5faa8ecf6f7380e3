import { parseArgs } from 'node:util';

export interface BotOptions {
  players: number;
  viewers: number;
  seconds: number;
  transport: 'ws' | 'grpc';
  /** http://host:port of a running server; else one is started */
  url: string | undefined;
  /** viewers whose socket is read only now and then */
  slow: number;
  size: number;
  framesPerSecond: number;
  /** players each viewer watches at most */
  streams: number;
  /** degrees of yaw between one viewer's view and the next's; 0 or undefined: all look from straight ahead */
  viewStep?: number;
  /** bytes per second that each player's motion may cost; undefined: no limit */
  motionBudget?: number | undefined;
  json: boolean;
}

export const USAGE = `npm run bots -- [--players N] [--viewers V] [--seconds S] [--transport ws|grpc] [--url URL]
  [--size 128|256|512] [--fps N] [--streams N] [--slow N]
  [--view-step DEGREES] [--motion-budget B] [--json]

Joins N talking players and V viewers to a room of their own and measures what the viewers receive.
--url      a running server (http://host:port); without it one is started
--streams  players each viewer watches at most (default: all)
--view-step  degrees between one viewer's view and the next's (default 0: all see the same pictures)
--slow     so many of the viewers read slowly (WebSocket only)
--motion-budget  bytes per second that each player's motion may cost (default: no limit)`;

/** Throws TypeError or RangeError that say what is wrong. */
export function readOptions(args: string[]): BotOptions {
  const { values } = parseArgs({
    args,
    options: {
      players: { type: 'string', default: '4' },
      viewers: { type: 'string', default: '4' },
      seconds: { type: 'string', default: '10' },
      transport: { type: 'string', default: 'ws' },
      url: { type: 'string' },
      slow: { type: 'string', default: '0' },
      size: { type: 'string', default: '128' },
      fps: { type: 'string', default: '30' },
      streams: { type: 'string', default: '256' },
      'view-step': { type: 'string', default: '0' },
      'motion-budget': { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const whole = (name: string, text: string, low: number, high: number) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new RangeError(`--${name} ${text}: expected a whole number from ${low} to ${high}`);
    }
    return value;
  };
  const transport = values.transport;
  if (transport !== 'ws' && transport !== 'grpc') throw new TypeError(`--transport ${transport}: expected ws or grpc`);
  const viewers = whole('viewers', values.viewers, 1, 10_000);
  const slow = whole('slow', values.slow, 0, viewers);
  if (slow > 0 && transport === 'grpc') throw new TypeError('--slow works with --transport ws only');
  return {
    players: whole('players', values.players, 1, 10_000),
    viewers,
    seconds: whole('seconds', values.seconds, 1, 86_400),
    transport,
    url: values.url,
    slow,
    size: whole('size', values.size, 16, 1024),
    framesPerSecond: whole('fps', values.fps, 1, 60),
    streams: whole('streams', values.streams, 1, 256),
    viewStep: whole('view-step', values['view-step'], 0, 90),
    motionBudget:
      values['motion-budget'] === undefined ? undefined : whole('motion-budget', values['motion-budget'], 1, 1_000_000),
    json: values.json,
  };
}
