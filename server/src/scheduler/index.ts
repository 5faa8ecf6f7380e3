export { FrameScheduler, type FrameSchedulerOptions, type SchedulerLog, type StreamSource } from './FrameScheduler.ts';
export { type MotionAt, motionAt, type ResolvedMotion } from './motionAt.ts';
export { type Clock, systemClock } from './TickTimer.ts';
