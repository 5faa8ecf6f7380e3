export * from './AvatarEncoder.ts';
export * from './ModelPackage.ts';
export * from './OnnxRenderer.ts';
export * from './residency.ts';
