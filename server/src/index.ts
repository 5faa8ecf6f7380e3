export { type RunningServer, startServer } from './compose.ts';
export { type Config, readConfig } from './config.ts';
export type * from './contracts.ts';
export { type Engine, openEngine } from './engine.ts';
export { FaceTracker, type TrackedFace, toMotionTrack, trackSequence } from './inference/index.ts';
