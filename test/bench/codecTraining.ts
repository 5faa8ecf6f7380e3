import type { CompactTables, Motion } from '@facewire/proto';
import {
  defaultSettings,
  sumTrack,
  type TrackSums,
  type TrainingTrack,
  trainTables,
} from '../../proto/scripts/compactTraining.ts';
import { rankCoefficients } from '../../proto/scripts/rankCoefficients.ts';
import { type FaceBasis, keypointsOf, loadFaceBasis } from './faceBasis.ts';
import type { BenchTrack } from './tracks.ts';

/** face-vid2vid's number of keypoints */
export const BENCH_KEYPOINTS = 20;

/** The same motions with 20 keypoint deformations, taken from the face model. */
export function withKeypoints(motions: readonly Motion[], basis: FaceBasis): Motion[] {
  return motions.map((motion) => ({ ...motion, keypoints: keypointsOf(basis, motion.expression, BENCH_KEYPOINTS) }));
}

/** Trains on any subset of tracks; what a track contributes is computed once. */
export class CodecTrainer {
  private readonly basis: FaceBasis;
  private readonly known = new Map<BenchTrack, { sums: TrackSums[]; tracks: TrainingTrack[] }>();

  constructor(basis: FaceBasis) {
    this.basis = basis;
  }

  train(tracks: readonly BenchTrack[]): CompactTables {
    const parts = tracks.map((track) => this.prepare(track));
    const tables = trainTables(
      parts.flatMap(({ sums }) => sums),
      parts.flatMap((part) => part.tracks),
    );
    tables.ranks = rankCoefficients(
      tracks.map(({ motions }) => motions),
      this.basis,
    );
    return tables;
  }

  private prepare(track: BenchTrack): { sums: TrackSums[]; tracks: TrainingTrack[] } {
    const known = this.known.get(track);
    if (known !== undefined) return known;
    const { motions } = track;
    // keypoints have rows of their own in the tables; a third of each track teaches them
    const pointed = withKeypoints(motions.slice(0, Math.ceil(motions.length / 3)), this.basis);
    const prepared = {
      sums: [sumTrack(motions), sumTrack(pointed)],
      tracks: [
        { motions: pointed, settings: defaultSettings(pointed) },
        { motions, settings: defaultSettings(motions) },
      ],
    };
    this.known.set(track, prepared);
    return prepared;
  }
}

export const codecTrainer = (): CodecTrainer => new CodecTrainer(loadFaceBasis());
