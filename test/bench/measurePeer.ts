import { FacewireError } from '@facewire/proto';
import type { OrtSessionOptions } from '../../server/src/inference/ort/OrtSession.ts';
import { type GraphSpeed, measureGraph } from './renderGraph.ts';
import { PEER_DIVISORS, type PeerDivisor, peerGraph } from './renderPeer.ts';

export interface Peer {
  /** of a whole frame of the network as published: measured, or worked out from a narrower one */
  msPerFrame: number;
  /** of the network as published */
  gflopPerFrame: number;
  /** as measured */
  gflopPerSecond: number;
  shareOfCeiling: number;
  /** 5-D GridSample as published, or slice by slice where the device cannot */
  volumes: boolean;
  /**
   * Where the device would take too long for the network as published: the one that was timed instead, with all numbers of
   * channels divided by `divisor`. `msPerFrame` is then what the published one takes at the same GFLOP/s.
   */
  narrower?: { divisor: PeerDivisor; gflop: number; ms: number };
}

export interface MeasurePeerOptions {
  session: OrtSessionOptions;
  /** of the device, GFLOP/s */
  ceiling: number;
  /** a graph is begun when one run of it is expected within this, ms */
  limitMs: number;
  /** runs are repeated so long, ms */
  rowMs: number;
}

/** Of the ceiling that a network of many layers reaches at least, as a first guess. */
const LEAST_SHARE = 0.1;

/**
 * Times the peer, or the widest narrower one that comes within the time; an answer in words where not even the narrowest
 * does.
 */
export async function measurePeer(options: MeasurePeerOptions): Promise<Peer | { reason: string }> {
  const gflopOf = (divisor: PeerDivisor) => peerGraph(1, { divisor }).writer.flop / 1e9;
  const time = peerTimer(options);
  const best = await widest({ ...options, gflopOf, time: (divisor) => time(divisor) });
  if ('reason' in best) return best;
  const { divisor, ms, gflop, gflopPerSecond, volumes } = best;
  const published = gflopOf(1);
  const msPerFrame = (1000 * published) / gflopPerSecond;
  return {
    msPerFrame: round(msPerFrame, 1),
    gflopPerFrame: round(published, 1),
    gflopPerSecond: Number(gflopPerSecond.toPrecision(3)),
    shareOfCeiling: round(gflopPerSecond / options.ceiling, 3),
    volumes,
    ...(divisor > 1 && { narrower: { divisor, gflop: round(gflop, 2), ms: round(ms, 1) } }),
  };
}

type Timed = GraphSpeed & { volumes: boolean };

export interface WidestOptions {
  ceiling: number;
  limitMs: number;
  gflopOf: (divisor: PeerDivisor) => number;
  time: (divisor: PeerDivisor) => Promise<Timed>;
}

/**
 * The widest peer of which a run is expected within the limit: by the ceiling at first, then by the last that was timed, from
 * the narrowest on.
 */
export async function widest(options: WidestOptions): Promise<(Timed & { divisor: PeerDivisor }) | { reason: string }> {
  const { ceiling, limitMs, gflopOf, time } = options;
  const msAt = (divisor: PeerDivisor, gflopPerSecond: number) => (1000 * gflopOf(divisor)) / gflopPerSecond;
  const narrowest = PEER_DIVISORS.at(-1)!;
  if (msAt(narrowest, ceiling) > limitMs) {
    const [gflop, seconds] = [round(gflopOf(narrowest), 2), Math.round(msAt(narrowest, ceiling) / 1000)];
    return { reason: `even at the ceiling the narrowest peer, of ${gflop} GFLOP, takes ${seconds} s a frame` };
  }
  const first = PEER_DIVISORS.find((divisor) => msAt(divisor, LEAST_SHARE * ceiling) <= limitMs) ?? narrowest;
  let best = { divisor: first, ...(await time(first)) };
  for (const divisor of PEER_DIVISORS.filter((each) => each < first).reverse()) {
    if (msAt(divisor, best.gflopPerSecond) > limitMs) break;
    best = { divisor, ...(await time(divisor)) };
  }
  return best;
}

/** Times peers; once volumes could not be sampled, slice by slice. */
function peerTimer({ session, rowMs }: MeasurePeerOptions): (divisor: PeerDivisor) => Promise<Timed> {
  let volumes = true;
  const time = async (divisor: PeerDivisor): Promise<Timed> => {
    const { writer, output } = peerGraph(1, { volumes, divisor });
    return { ...(await measureGraph(writer, output, session, rowMs, 1)), volumes };
  };
  return async (divisor) => {
    try {
      return await time(divisor);
    } catch (error) {
      if (!volumes || !(error instanceof FacewireError)) throw error;
      console.log(`the peer's 5-D GridSample does not run here, so slice by slice: ${error.message}`);
      volumes = false;
      return time(divisor);
    }
  };
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
