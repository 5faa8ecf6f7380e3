export { type ReceivedMotion, type ReceiveOptions, receiveMotion } from './receiveMotion.ts';
export { EASE_MS, IDLE_AFTER_MS } from './rest.ts';
export { movesForMs, shownMotion } from './shownMotion.ts';
