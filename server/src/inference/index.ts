export * from './AvatarEncoder.ts';
export * from './faceTracker.ts';
export * from './faceTrackerSequence.ts';
export * from './ModelPackage.ts';
export * from './MultiRenderer.ts';
export * from './OnnxRenderer.ts';
export * from './openRenderer.ts';
export * from './residency.ts';
