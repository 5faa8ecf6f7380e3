export { compareFrames, type FrameDifference, PARITY_TOLERANCE } from '../src/inference/parity.ts';
