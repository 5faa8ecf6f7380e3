import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Objm } from '@nats-io/obj';
import { connect } from '@nats-io/transport-node';
import { describe, expect, it, vi } from 'vitest';
import { faceLandmarks, gradientImage } from '../../../server/src/avatars/testdata/face.ts';
import { NatsFiles, type NatsFilesOptions } from '../../../server/src/cluster/NatsFiles.ts';
import { readConfig } from '../../../server/src/config.ts';
import { MAX_SHARED_FILE_BYTES, type SharedFileInfo } from '../../../server/src/contracts.ts';
import { openEngine } from '../../../server/src/engine.ts';
import { natsServerIsThere, startNatsServer } from '../../natsServer.ts';
import { describeSharedFilesConformance } from '../../sharedFiles.conformance.ts';

const TINY = fileURLToPath(new URL('../../../server/src/inference/testdata/tiny', import.meta.url));
const RECONNECT = { reconnectTimeWait: 50, maxReconnectAttempts: -1 };

// A developer may lack the program; CI may not.
describe.skipIf(!natsServerIsThere && !process.env.CI)('files shared over NATS', () => {
  describeSharedFilesConformance(async () => {
    const server = await startNatsServer();
    const connections: Awaited<ReturnType<typeof connect>>[] = [];
    return {
      connect: async () => {
        const connection = await connect({ servers: server.url, ...RECONNECT });
        connections.push(connection);
        return new NatsFiles(connection, 'avatars');
      },
      cut: async () => {
        const lost = connections.map(async (connection) => {
          for await (const { type } of connection.status()) if (type === 'disconnect') return;
        });
        await server.stop();
        await Promise.all(lost);
      },
      restore: () => server.start(),
      close: async () => {
        await Promise.all(connections.map((connection) => connection.close()));
        await server.close();
      },
    };
  });

  async function withServer(
    jetStream: boolean,
    use: (context: {
      server: Awaited<ReturnType<typeof startNatsServer>>;
      connection: Awaited<ReturnType<typeof connect>>;
      open(options?: NatsFilesOptions): NatsFiles;
    }) => Promise<void>,
  ) {
    const server = await startNatsServer({ jetStream });
    const connection = await connect({ servers: server.url, ...RECONNECT });
    try {
      await use({ server, connection, open: (options) => new NatsFiles(connection, 'avatars', options) });
    } finally {
      await connection.close();
      await server.close();
    }
  }

  it('need JetStream, and say how to get it', () =>
    withServer(false, async ({ open }) => {
      const files = open();
      for (const call of [
        files.put('ann', {}, new Uint8Array(1)),
        files.get('ann'),
        files.delete('ann'),
        files.watch({ handleAll: () => {}, handleChange: () => {} }),
      ]) {
        await expect(call).rejects.toMatchObject({
          code: 'cluster_unavailable',
          received: expect.any(String),
          remedy: expect.stringContaining('nats-server -js'),
        });
      }
    }));

  it('take no longer than they may when NATS does not answer', () =>
    withServer(true, async ({ server, open }) => {
      const files = open({ requestMs: 200, fileMs: 500 });
      await files.put('ann', {}, new Uint8Array(1000));
      server.pause();
      const startedAtMs = performance.now();
      try {
        for (const call of [files.put('ann', {}, new Uint8Array(10)), files.get('ann'), files.delete('ann')]) {
          await expect(call).rejects.toMatchObject({ code: 'cluster_unavailable' });
        }
      } finally {
        server.goOn();
      }
      expect(performance.now() - startedAtMs).toBeLessThan(3000);
    }));

  it('are not larger than agreed, whoever put them', () =>
    withServer(true, async ({ connection, open }) => {
      const files = open();
      const tooLarge = { code: 'cluster_unavailable', message: expect.stringContaining('at most') };
      const data = new Uint8Array(MAX_SHARED_FILE_BYTES + 1);
      await expect(files.put('ann', {}, data)).rejects.toMatchObject(tooLarge);
      expect(await files.get('ann')).toBeUndefined();
      await files.put('ann', {}, data.subarray(1));
      expect(await files.get('ann')).toHaveLength(MAX_SHARED_FILE_BYTES);
      const store = await new Objm(connection).open('avatars');
      await store.put({ name: 'foreign' }, new Blob([data]).stream());
      await expect(files.get('foreign')).rejects.toMatchObject(tooLarge);
    }));

  it('are told as they are, also where NATS skips changes because many are made at once', () =>
    withServer(true, async ({ server, connection }) => {
      const other = await connect({ servers: server.url, ...RECONNECT });
      const watched = new NatsFiles(other, 'avatars', { checkMs: 200 });
      const [there, told] = [new Map<string, string>(), new Map<string, string>()];
      const keep = (files: Map<string, string>, { key, about, deleted }: SharedFileInfo) =>
        deleted ? files.delete(key) : files.set(key, about.n!);
      await watched.watch({
        handleAll: (all) => {
          told.clear();
          for (const file of all) keep(told, file);
        },
        handleChange: (file) => keep(told, file),
      });
      const untilMs = performance.now() + 4000;
      let n = 0;
      const write = async (writer: string) => {
        const files = new NatsFiles(connection, 'avatars');
        while (performance.now() < untilMs) {
          n++;
          const change = { key: `${writer}-${n % 50}`, about: { n: String(n) }, deleted: n % 7 === 0, changedAtMs: 0 };
          if (change.deleted) await files.delete(change.key);
          else await files.put(change.key, change.about, new Uint8Array(300));
          keep(there, change);
        }
      };
      await Promise.all([write('a'), write('b'), write('c')]);
      expect(n).toBeGreaterThan(300);
      const sorted = (files: Map<string, string>) => [...files].sort();
      await vi.waitFor(() => expect(sorted(told)).toEqual(sorted(there)), { timeout: 5000 });
      await other.close();
    }));

  it('are told as none when their bucket was deleted, and it is made again', () =>
    withServer(true, async ({ connection, open }) => {
      const files = open({ checkMs: 100 });
      const told: string[][] = [];
      await files.put('ann', {}, new Uint8Array(1));
      await files.watch({ handleAll: (all) => told.push(all.map(({ key }) => key)), handleChange: () => {} });
      await connection.request('$JS.API.STREAM.DELETE.OBJ_avatars');
      await vi.waitFor(() => expect(told.at(-1)).toEqual([]), { timeout: 10_000 });
      await files.put('bo', {}, new Uint8Array(1));
      expect(await files.get('bo')).toHaveLength(1);
    }));

  it('are how an avatar gets from one engine to another, and how it goes there', () =>
    withServer(true, async ({ server, open }) => {
      const directory = await mkdtemp(join(tmpdir(), 'facewire-nats-engines-'));
      const other = await connect({ servers: server.url, ...RECONNECT });
      const start = (name: string, shared: NatsFiles) => {
        const env = { FACEWIRE_DATA: join(directory, name), FACEWIRE_MODEL: TINY, FACEWIRE_TRACKER: 'none' };
        return openEngine({ ...readConfig(env), device: 'cpu' }, { calibrate: false, builtIns: false, shared });
      };
      const [a, b] = [await start('a', open()), await start('b', new NatsFiles(other, 'avatars'))];
      const portrait = await gradientImage(512, 512).png().toBuffer();
      const ann = { id: 'ann', name: 'Ann', landmarks: faceLandmarks(256, 200, 97) };
      await a.avatars.create(portrait, ann);
      await vi.waitFor(() => expect(b.avatars.get('ann')).toEqual(a.avatars.get('ann')), { timeout: 12_000 });
      expect(await b.avatars.load('ann')).toEqual(await a.avatars.load('ann'));
      expect(await b.avatars.portrait('ann')).toEqual(await a.avatars.portrait('ann'));

      await server.stop();
      await expect(a.avatars.create(portrait, { ...ann, id: 'bo' })).rejects.toMatchObject({
        code: 'cluster_unavailable',
      });
      await expect(b.avatars.delete('ann')).rejects.toMatchObject({ code: 'cluster_unavailable' });
      expect([a, b].map(({ avatars }) => avatars.list().map(({ id }) => id))).toEqual([['ann'], ['ann']]);
      await server.start();
      await vi.waitFor(() => b.avatars.delete('ann'), { timeout: 12_000, interval: 100 });
      await vi.waitFor(() => expect(a.avatars.list()).toEqual([]), { timeout: 12_000 });
      await Promise.all([a.close(), b.close(), other.close()]);
      await rm(directory, { recursive: true, force: true });
    }));
});
