export { NatsBus } from './NatsBus.ts';
export { NatsFiles } from './NatsFiles.ts';
export { RoomExchange } from './RoomExchange.ts';
