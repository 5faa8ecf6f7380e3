export * from './addBuiltIns.ts';
export * from './FileAvatarStore.ts';
