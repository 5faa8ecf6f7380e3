export { FrameScheduler, type FrameSchedulerOptions, type SchedulerLog, type StreamSource } from './FrameScheduler.ts';
export { EASE_MS, IDLE_AFTER_MS, type MotionAt, motionAt, type ResolvedMotion } from './motionAt.ts';
export { type Clock, systemClock } from './TickTimer.ts';
