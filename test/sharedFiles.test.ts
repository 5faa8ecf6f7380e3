import { describe } from 'vitest';
import { MemoryFiles } from '../server/src/avatars/testing/MemoryFiles.ts';
import { describeSharedFilesConformance } from './sharedFiles.conformance.ts';

describe('shared files in memory, which tests of avatars use', () => {
  describeSharedFilesConformance(async () => {
    const files = new MemoryFiles();
    return {
      connect: async () => files.connect(),
      cut: async () => {
        for (const connection of files.connections) connection.cut();
      },
      restore: async () => {
        for (const connection of files.connections) connection.restore();
      },
      close: async () => {},
    };
  });
});
