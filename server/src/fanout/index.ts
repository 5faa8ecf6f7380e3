export { LatestFrameFanOut, type LatestFrameFanOutOptions } from './LatestFrameFanOut.ts';
