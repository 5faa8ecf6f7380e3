export * from './control.ts';
export * from './errors.ts';
export * from './motion/expressions.ts';
export * from './motion/Motion.ts';
