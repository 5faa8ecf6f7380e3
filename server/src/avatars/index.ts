export * from './ensureBuiltIns.ts';
export * from './FileAvatarStore.ts';
