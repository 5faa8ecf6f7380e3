export { NatsBus } from './NatsBus.ts';
export { RoomExchange } from './RoomExchange.ts';
