import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { FacewireError } from '@facewire/proto';

export interface Config {
  host: string;
  /** HTTP and WebSocket; 0 picks a free port */
  port: number;
  /** gRPC; 0 picks a free port, −1 switches gRPC off */
  grpcPort: number;
  /** cpu | cuda | cuda:N[,M] | webgpu | auto */
  device: string;
  /** path to a model package */
  model: string;
  /** taken, with a warning, when the default model is missing or damaged; empty when FACEWIRE_MODEL names one */
  fallbackModel: string;
  /** path to a tracker package, which finds the face in portraits that come without landmarks; empty: none */
  tracker: string;
  /** avatars are kept here */
  dataDir: string;
  /** threads of ONNX Runtime */
  threads: number;
  /** numbers that the learned part of the renderer computes in; auto: the fastest that draws the same */
  precision: 'auto' | 'float32' | 'float16' | 'int8';
  /** memory for avatars on the device, MiB; 0: by device (inference/openBank.ts). As many avatars as fit are held */
  bankMib: number;
  /** most avatars held, also where the memory has room for more */
  bankSlots: number;
  /** how often per second the scheduler looks for due streams; higher shortens a packet's wait */
  tickRate: number;
  /** rooms filled with the server's own bots until people join, and how many seats are filled */
  demoRoom: string;
  demoSeats: number;
  /** no: joining a room other than the demo room is room_unknown */
  openRooms: 'yes' | 'no';
  /** NATS servers through which servers share rooms and avatars (cluster/NatsBus.ts); empty: this one is alone */
  cluster: string;
  /** servers of the same name share; others may use the same NATS servers */
  clusterName: string;
  /** auto | uws | ws */
  webSocket: 'auto' | 'uws' | 'ws';
  logLevel: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const ownTracker = `${root}models/tracker`;

/** Every setting has a default that works on a laptop; README lists them. Throws config_invalid. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const text = (name: string, fallback: string) => env[`FACEWIRE_${name}`]?.trim() || fallback;
  const integer = (name: string, fallback: number, low: number, high: number) => {
    const raw = text(name, String(fallback));
    const value = Number(raw);
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new FacewireError('config_invalid', `FACEWIRE_${name} must be a whole number from ${low} to ${high}`, {
        received: raw,
        remedy: `set FACEWIRE_${name}=${fallback}, the default, or leave it out`,
      });
    }
    return value;
  };
  const choice = <T extends string>(name: string, fallback: T, choices: readonly T[]): T => {
    const raw = text(name, fallback);
    const value = choices.find((each) => each === raw);
    if (value === undefined) {
      throw new FacewireError('config_invalid', `FACEWIRE_${name} must be one of ${choices.join(', ')}`, {
        received: raw,
        remedy: `leave FACEWIRE_${name} out for ${fallback}`,
      });
    }
    return value;
  };
  return {
    host: text('HOST', '127.0.0.1'),
    port: integer('PORT', 8080, 0, 65535),
    grpcPort: integer('GRPC_PORT', 8081, -1, 65535),
    device: text('DEVICE', 'auto'),
    model: text('MODEL', `${root}models/portrait`),
    fallbackModel: env.FACEWIRE_MODEL?.trim() ? '' : `${root}models/warp`,
    tracker: trackerOf(env.FACEWIRE_TRACKER),
    dataDir: text('DATA', `${root}data`),
    threads: integer('THREADS', Math.min(8, availableParallelism()), 1, 256),
    precision: choice('PRECISION', 'auto', ['auto', 'float32', 'float16', 'int8'] as const),
    bankMib: integer('BANK_MIB', 0, 0, 1_000_000),
    bankSlots: integer('BANK_SLOTS', 100_000, 1, 100_000),
    tickRate: integer('TICK_RATE', 120, 1, 240),
    demoRoom: text('DEMO_ROOM', 'lobby'),
    demoSeats: integer('DEMO_SEATS', 6, 0, 64),
    openRooms: choice('OPEN_ROOMS', 'yes', ['yes', 'no'] as const),
    cluster: text('CLUSTER', ''),
    clusterName: clusterName(text('CLUSTER_NAME', 'facewire')),
    webSocket: choice('WEBSOCKET', 'auto', ['auto', 'uws', 'ws'] as const),
    logLevel: choice('LOG', 'info', ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const),
  };
}

/** It becomes part of NATS's subjects and the name of a bucket. */
function clusterName(name: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return name;
  throw new FacewireError('config_invalid', 'FACEWIRE_CLUSTER_NAME must be 1 to 64 letters, digits, - or _', {
    received: name,
    remedy: 'leave FACEWIRE_CLUSTER_NAME out for facewire',
  });
}

/** Unlike elsewhere an empty value says something: no tracker. So does "none". */
function trackerOf(setting: string | undefined): string {
  const wanted = setting?.trim();
  if (wanted === undefined) return existsSync(`${ownTracker}/manifest.json`) ? ownTracker : '';
  return wanted === 'none' ? '' : wanted;
}
