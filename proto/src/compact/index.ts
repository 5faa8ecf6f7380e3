export { CompactMotionDecoder, isCompactMotion } from './CompactMotionDecoder.ts';
export { type CompactEncoderOptions, CompactMotionEncoder, type CompactQuality } from './CompactMotionEncoder.ts';
export { CompactRateController, type RateControllerOptions } from './CompactRateController.ts';
export { type CompactSettings, DEFAULT_SETTINGS } from './CompactSettings.ts';
export type { CompactTables } from './CompactTables.ts';
export { LEARNED_TABLES } from './learnedTables.ts';
export { MEASURED_LADDER } from './measuredLadder.ts';
export { chooseRung, ladderFrom, type Rung } from './rateLadder.ts';
