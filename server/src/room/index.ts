export { HouseBots, type HouseBotsOptions } from './HouseBots.ts';
export { chooseSize, clampFramesPerSecond, negotiateCodec, negotiateVersion } from './negotiate.ts';
export {
  type LocalParticipant,
  type MotionDecoder,
  RoomRegistry,
  type RoomRegistryOptions,
} from './RoomRegistry.ts';
