import {
  assignEncoders,
  type EncoderAssignment,
  groupDemands,
  type LineageState,
  type StreamDemand,
} from './assignEncoders.ts';

/** An encoder may have one frame in work and one on its way to it; more would be a queue. */
const MAX_PENDING_ENCODES = 2;

/** One picture to render, and the encodes that it feeds. */
export interface PlannedPicture {
  picture: string;
  size: number;
  encodes: EncoderAssignment[];
}

export interface BatchPlan {
  /** all pictures of a batch have one size */
  size: number;
  /** longest-waiting first */
  pictures: PlannedPicture[];
}

/**
 * What to render next: the picture whose viewers have waited longest, and as many others of its size as `maxPictures`
 * allows, again by waiting time. Streams of one rate are due at one moment: of those that have waited equally long, who
 * was served least recently goes first. Under overload everybody's rate falls alike and nobody starves. Undefined when
 * there is nothing to do.
 *
 * `demands` are the streams that can take a frame, due or not: those that are not due belong to their group all the
 * same, as the group's encoder would leave them behind.
 */
export function planBatch(
  demands: readonly StreamDemand[],
  lineages: readonly LineageState[],
  maxPictures: (size: number) => number,
  nowMs: number,
): BatchPlan | undefined {
  const busy = new Set(lineages.filter(({ pending }) => pending >= MAX_PENDING_ENCODES).map(({ id }) => id));
  const candidates = new Map<string, PlannedPicture & Turn & { suspect: boolean }>();
  for (const assignment of assignEncoders(groupDemands(demands), lineages, nowMs)) {
    if (assignment.lineage !== undefined && busy.has(assignment.lineage)) continue;
    const wanting = assignment.served.filter((demand) => isWanting(demand, assignment.keyFrame));
    if (wanting.length === 0) continue;
    const { picture, size } = assignment.group;
    const waitingSinceMs = Math.min(...wanting.map((demand) => demand.waitingSinceMs));
    const servedAtMs = Math.min(...wanting.map((demand) => demand.servedAtMs ?? 0));
    const candidate = candidates.get(picture);
    if (candidate) {
      candidate.encodes.push(assignment);
      candidate.waitingSinceMs = Math.min(candidate.waitingSinceMs, waitingSinceMs);
      candidate.servedAtMs = Math.min(candidate.servedAtMs, servedAtMs);
    } else {
      const suspect = wanting.some((demand) => demand.suspect);
      candidates.set(picture, { picture, size, encodes: [assignment], waitingSinceMs, servedAtMs, suspect });
    }
  }
  const ordered = [...candidates.values()].sort(byTurn);
  const first = ordered[0];
  if (!first) return undefined;
  const companions = ordered.filter(({ size, suspect }) => size === first.size && !suspect);
  const chosen = first.suspect ? [first] : companions.slice(0, Math.max(1, maxPictures(first.size)));
  return { size: first.size, pictures: chosen.map(({ picture, size, encodes }) => ({ picture, size, encodes })) };
}

/** What decides whose turn it is. */
interface Turn {
  waitingSinceMs: number;
  servedAtMs: number;
}

function byTurn(a: Turn, b: Turn): number {
  return a.waitingSinceMs - b.waitingSinceMs || a.servedAtMs - b.servedAtMs;
}

function isWanting(demand: StreamDemand, keyFrame: boolean): boolean {
  return demand.due && (demand.changed || (demand.needsKey && keyFrame));
}
