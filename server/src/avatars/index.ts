export * from './addBuiltIns.ts';
export * from './FileAvatarStore.ts';
export * from './SharedAvatars.ts';
