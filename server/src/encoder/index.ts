export * from './createEncoderFactory.ts';
