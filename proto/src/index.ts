/**
 * Everything that both ends share. This entry runs in browsers and on Node; what needs Node's modules is in
 * `@facewire/proto/node`.
 */
export * from './codec/controlPacket.ts';
export * from './codec/framePacket.ts';
export * from './codec/motionPacket.ts';
export { PACKET_KIND, type PacketKind } from './codec/packetKind.ts';
export * from './compact/index.ts';
export * from './control/envelope.ts';
export { CONTROL_LIMITS, validateClientControl, validateServerControl } from './control/validateControl.ts';
export * from './control.ts';
export * from './errors.ts';
export * from './motion/expressions.ts';
export * from './motion/interpolateMotion.ts';
export * from './motion/Motion.ts';
export * from './motion/rotation.ts';
export * from './motion/synthesizeMotion.ts';
export * from './motion/trackToMotions.ts';
export * from './receive/index.ts';
