import {
  assignEncoders,
  type EncoderAssignment,
  groupDemands,
  type LineageState,
  type StreamDemand,
} from './assignEncoders.ts';
import { comesBefore, type Turn, TurnQueue } from './TurnQueue.ts';

/** An encoder may have one frame in work and one on its way to it; more would be a queue. */
export const MAX_PENDING_ENCODES = 2;

/** One picture to render, and the encodes that it feeds. */
export interface PlannedPicture {
  picture: string;
  size: number;
  encodes: EncoderAssignment[];
}

export interface BatchPlan {
  /** all pictures of a batch have one size */
  size: number;
  /** earliest deadline first */
  pictures: PlannedPicture[];
}

/** A picture that somebody waits for. */
export interface Candidate extends PlannedPicture, Turn {
  /** the avatar failed to render lately: it is tried alone */
  suspect: boolean;
}

/** Streams that share nothing with others: whose pictures are worked out only when their turn comes. */
export interface Contender extends Turn {
  /** of all its pictures */
  readonly size: number;
}

/**
 * What to render next: the picture with the earliest deadline, and as many others of its size as `maxPictures` allows,
 * again by deadline. Streams of one rate are due at one moment: of equal deadlines who was served least recently goes
 * first. A deadline once missed does not move, so under overload everybody's rate falls alike and nobody starves. Undefined when
 * there is nothing to do.
 *
 * Where several lanes are free the pictures that are due are spread over them: batches grow when there are more than lanes.
 *
 * @param contenders no picture of a contender may come before the contender's own turn
 * @param open the pictures of a contender; called only for those whose turn comes before the lanes are full
 * @param lanes that are free, this batch's among them
 */
export function planBatch<T extends Contender>(
  contenders: Iterable<T>,
  open: (contender: T) => Candidate[],
  maxPictures: (size: number) => number,
  lanes = 1,
): BatchPlan | undefined {
  const bySize = new Map<number, T[]>();
  for (const contender of contenders) {
    const list = bySize.get(contender.size);
    if (list) list.push(contender);
    else bySize.set(contender.size, [contender]);
  }
  const queues = Array.from(bySize.values(), (list) => new CandidateQueue(new TurnQueue(list), open));
  let queue: CandidateQueue<T> | undefined;
  for (const each of queues) {
    if (each.first && (!queue?.first || comesBefore(each.first, queue.first))) queue = each;
  }
  const first = queue?.take();
  if (!queue || !first) return undefined;
  const chosen = [first];
  const most = first.suspect ? 1 : Math.max(1, maxPictures(first.size));
  while (chosen.length < most * lanes) {
    const next = queue.take();
    if (!next) break;
    if (!next.suspect) chosen.push(next);
  }
  chosen.length = Math.ceil(chosen.length / lanes);
  return { size: first.size, pictures: chosen.map(({ picture, size, encodes }) => ({ picture, size, encodes })) };
}

/** The candidates of one size by their turn, each contender opened when nothing else can come before it. */
class CandidateQueue<T extends Contender> {
  readonly #closed: TurnQueue<T>;
  readonly #candidates = new TurnQueue<Candidate>([]);
  readonly #open: (contender: T) => Candidate[];

  constructor(closed: TurnQueue<T>, open: (contender: T) => Candidate[]) {
    this.#closed = closed;
    this.#open = open;
  }

  get first(): Candidate | undefined {
    for (;;) {
      const candidate = this.#candidates.first;
      const contender = this.#closed.first;
      if (!contender || (candidate && comesBefore(candidate, contender))) return candidate;
      this.#closed.take();
      for (const opened of this.#open(contender)) this.#candidates.put(opened);
    }
  }

  take(): Candidate | undefined {
    return this.first && this.#candidates.take();
  }
}

/**
 * The pictures that are wanted of streams which share no picture and no encoder with others: the streams of one
 * participant at one size.
 *
 * @param demands the streams that can take a frame, due or not: those that are not due belong to their group all the
 * same, as the group's encoder would leave them behind
 * @param lineages the encoders that hold any of them
 * @param orphans the encoders that nobody uses and that may begin anew now; whoever takes one takes it out of the list
 * @param order of the candidates, among those whose turns are equal
 */
export function candidatesOf(
  demands: readonly StreamDemand[],
  lineages: readonly LineageState[],
  orphans: () => LineageState[],
  nowMs: number,
  order = 0,
): Candidate[] {
  const busy = (id: number) => lineages.some((lineage) => lineage.id === id && lineage.pending >= MAX_PENDING_ENCODES);
  const candidates = new Map<string, Candidate>();
  for (const assignment of assignEncoders(groupDemands(demands), lineages, nowMs, orphans)) {
    if (assignment.lineage !== undefined && busy(assignment.lineage)) continue;
    const wanting = assignment.served.filter((demand) => isWanting(demand, assignment.keyFrame));
    if (wanting.length === 0) continue;
    const { picture, size } = assignment.group;
    const deadlineMs = Math.min(...wanting.map((demand) => demand.deadlineMs));
    const servedAtMs = Math.min(...wanting.map((demand) => demand.servedAtMs ?? 0));
    const candidate = candidates.get(picture);
    if (candidate) {
      candidate.encodes.push(assignment);
      candidate.deadlineMs = Math.min(candidate.deadlineMs, deadlineMs);
      candidate.servedAtMs = Math.min(candidate.servedAtMs, servedAtMs);
    } else {
      const suspect = wanting.some((demand) => demand.suspect);
      candidates.set(picture, { picture, size, encodes: [assignment], deadlineMs, servedAtMs, order, suspect });
    }
  }
  return [...candidates.values()];
}

function isWanting(demand: StreamDemand, keyFrame: boolean): boolean {
  return demand.due && (demand.changed || (demand.needsKey && keyFrame));
}
