import type { CompactTables, Motion } from '@facewire/proto';
import {
  defaultSettings,
  mirrored,
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

/** the codec must serve coarser steps too */
const COARSE = { poseDenominator: 128, expressionDenominator: 26, keypointDenominator: 128 };

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
    const views = [motions, mirrored(motions)];
    // keypoints have rows of their own in the tables; a third of each track teaches them
    const pointed = views.map((view) => withKeypoints(view.slice(0, Math.ceil(view.length / 3)), this.basis));
    const all = [...pointed, ...views];
    const prepared = {
      sums: all.map((view) => sumTrack(view)),
      tracks: all.flatMap((view) => {
        const settings = defaultSettings(view);
        return [
          { motions: view, settings },
          { motions: view, settings: { ...settings, ...COARSE } },
        ];
      }),
    };
    this.known.set(track, prepared);
    return prepared;
  }
}

export const codecTrainer = (): CodecTrainer => new CodecTrainer(loadFaceBasis());
