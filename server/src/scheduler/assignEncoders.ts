import type { FrameCodec } from '@facewire/proto';

/** Viewers ask again and again when they lose packets; a key frame costs several times a delta. */
export const KEY_FRAME_INTERVAL_MS = 300;

/** One stream as the planning of a batch sees it. */
export interface StreamDemand {
  stream: number;
  /** names the picture that it would be shown now: participant, avatar, motion, view bucket and size */
  picture: string;
  codec: FrameCodec;
  size: number;
  framesPerSecond: number;
  /** its frame rate allows a frame now */
  due: boolean;
  /** the picture differs from the one it was last sent */
  changed: boolean;
  /** server clock at which its frame should have been begun (see Turn) */
  deadlineMs: number;
  /** server clock at which it was served (see Turn); none is as if long ago */
  servedAtMs?: number;
  /** it asked for a key frame, and none is on its way */
  needsKey: boolean;
  /** it has been sent a key frame before */
  hadKey: boolean;
  /** the avatar failed to render lately: it is tried alone */
  suspect: boolean;
}

/** Streams that are shown one picture in one codec at one rate: what one encode can serve. */
export interface EncodeGroup {
  picture: string;
  codec: FrameCodec;
  size: number;
  framesPerSecond: number;
  streams: StreamDemand[];
}

/** An encoder and the streams that can decode its next delta, because they were sent every frame since its last key. */
export interface LineageState {
  id: number;
  codec: FrameCodec;
  size: number;
  members: ReadonlySet<number>;
  lastKeyMs: number;
  /** frames handed to it that it has not finished */
  pending: number;
}

export interface EncoderAssignment {
  group: EncodeGroup;
  /** undefined: open a new one */
  lineage: number | undefined;
  keyFrame: boolean;
  /** the streams that get the frame; the others of the group wait for a key frame */
  served: StreamDemand[];
}

/**
 * Streams of one picture, codec and size share an encode. Slower streams do not share with faster ones, as they skip
 * frames that the next delta needs; JPEG has no deltas, so there they do.
 */
export function groupDemands(demands: readonly StreamDemand[]): EncodeGroup[] {
  const groups = new Map<string, EncodeGroup>();
  for (const demand of demands) {
    const { picture, codec, size, framesPerSecond } = demand;
    const key = codec === 'jpeg' ? `${picture}|jpeg` : `${picture}|${codec}|${framesPerSecond}`;
    let group = groups.get(key);
    if (!group) {
      group = { picture, codec, size, framesPerSecond, streams: [] };
      groups.set(key, group);
    }
    group.streams.push(demand);
  }
  return [...groups.values()];
}

/**
 * Gives every group an encoder, in the order of `groups`. As viewers turn, groups split and merge; the encoder goes on
 * with the group that holds most of its streams and needs no key frame for those. Streams that come to it from
 * elsewhere need one, which all of the group get. A group that no encoder fits takes an orphaned one, else a new one.
 *
 * @param orphansOf the encoders without viewers; one that is taken is taken out of that list
 */
export function assignEncoders(
  groups: readonly EncodeGroup[],
  lineages: readonly LineageState[],
  nowMs: number,
  orphansOf: () => LineageState[] = () => orphansAmong(lineages, nowMs),
): EncoderAssignment[] {
  const chosen = continueByOverlap(groups, lineages);
  let orphans: LineageState[] | undefined;
  return groups.map((group) => {
    let lineage = chosen.get(group);
    if (!lineage) {
      orphans ??= orphansOf();
      const index = orphans.findIndex((orphan) => fits(group, orphan));
      if (index >= 0) lineage = orphans.splice(index, 1)[0];
    }
    return assign(group, lineage, nowMs);
  });
}

/** The encoders that nobody uses any more and that may begin with another audience now. */
export function orphansAmong(lineages: Iterable<LineageState>, nowMs: number): LineageState[] {
  const orphans: LineageState[] = [];
  for (const lineage of lineages) {
    if (lineage.members.size === 0 && keyAllowed(lineage, nowMs)) orphans.push(lineage);
  }
  return orphans;
}

function assign(group: EncodeGroup, lineage: LineageState | undefined, nowMs: number): EncoderAssignment {
  if (group.codec === 'jpeg') {
    // Nobody depends on another's frames: each at its own rate.
    const served = group.streams.filter(({ due, changed, needsKey }) => due && (changed || needsKey));
    return { group, lineage: lineage?.id, keyFrame: true, served };
  }
  if (!lineage) return { group, lineage: undefined, keyFrame: true, served: group.streams };
  const inSync = group.streams.filter(({ stream, needsKey }) => lineage.members.has(stream) && !needsKey);
  if (inSync.length === group.streams.length) {
    return { group, lineage: lineage.id, keyFrame: false, served: group.streams };
  }
  // A viewer that has nothing on its screen yet does not wait.
  const firstEver = group.streams.some(({ hadKey }) => !hadKey);
  if (firstEver || keyAllowed(lineage, nowMs)) {
    return { group, lineage: lineage.id, keyFrame: true, served: group.streams };
  }
  return { group, lineage: lineage.id, keyFrame: false, served: inSync };
}

/** Greedy by the number of common streams: the largest audience keeps its encoder; the older encoder wins a tie. */
function continueByOverlap(
  groups: readonly EncodeGroup[],
  lineages: readonly LineageState[],
): Map<EncodeGroup, LineageState> {
  const owner = new Map<number, LineageState>();
  for (const lineage of lineages) for (const stream of lineage.members) owner.set(stream, lineage);
  const pairs: { group: EncodeGroup; lineage: LineageState; overlap: number }[] = [];
  for (const group of groups) {
    const overlaps = new Map<LineageState, number>();
    for (const { stream } of group.streams) {
      const lineage = owner.get(stream);
      if (lineage && fits(group, lineage)) overlaps.set(lineage, (overlaps.get(lineage) ?? 0) + 1);
    }
    for (const [lineage, overlap] of overlaps) pairs.push({ group, lineage, overlap });
  }
  pairs.sort((a, b) => b.overlap - a.overlap || a.lineage.id - b.lineage.id);
  const chosen = new Map<EncodeGroup, LineageState>();
  const taken = new Set<LineageState>();
  for (const { group, lineage } of pairs) {
    if (chosen.has(group) || taken.has(lineage)) continue;
    chosen.set(group, lineage);
    taken.add(lineage);
  }
  return chosen;
}

function fits(group: EncodeGroup, lineage: LineageState): boolean {
  return group.codec === lineage.codec && group.size === lineage.size;
}

function keyAllowed(lineage: LineageState, nowMs: number): boolean {
  return lineage.codec === 'jpeg' || nowMs - lineage.lastKeyMs >= KEY_FRAME_INTERVAL_MS;
}
