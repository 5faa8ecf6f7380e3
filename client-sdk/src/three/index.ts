export * from './AvatarScreen.ts';
export * from './DrawRate.ts';
export * from './FrameTexture.ts';
export * from './NamePlate.ts';
export * from './screenMath.ts';
export * from './viewportHeight.ts';
