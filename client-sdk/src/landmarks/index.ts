export * from './LandmarkReader.ts';
export type { Landmarks, PointOptions } from './readPoints.ts';
