import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Packr } from 'msgpackr';
import { describe, expect, it, vi } from 'vitest';
import { SharedAvatars } from './SharedAvatars.ts';
import { firstRed, ids, knows, OPTIONS, stored, TestCluster, type TestServer, until } from './testing/sharedServers.ts';

const packr = new Packr({ useRecords: false });

describe('SharedAvatars when something changes elsewhere or goes wrong', () => {
  const cluster = TestCluster.setUp();

  const unreachable = { code: 'cluster_unavailable' };

  describe('a deleted avatar', () => {
    it('goes on every server, and their banks forget it', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      await b.avatars.load('ann');
      await a.avatars.delete('ann');
      await knows(b);
      await until(() => expect(b.changed).toEqual(['ann']));
      expect(a.changed).toEqual(['ann']);
      expect([await stored(a), await stored(b)]).toEqual([[], []]);
      for (const { avatars } of [a, b]) {
        expect(await avatars.portrait('ann')).toBeUndefined();
        await expect(avatars.load('ann')).rejects.toMatchObject({ code: 'avatar_unknown' });
        await expect(avatars.delete('ann')).rejects.toMatchObject({ code: 'avatar_unknown' });
      }
    });

    it('can be one that was never here', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      await b.avatars.delete('ann');
      await knows(a);
      expect(ids(b)).toEqual([]);
    });

    it('stays everywhere when the others cannot be told', async () => {
      const a = await cluster.start('a');
      await a.avatars.create(cluster.square, OPTIONS);
      a.connection.cut();
      await expect(a.avatars.delete('ann')).rejects.toMatchObject(unreachable);
      expect(await firstRed(a.avatars, 'ann')).toBe(0);
      expect(cluster.files.kept.get('ann')?.info.deleted).toBe(false);
    });

    it('goes also on a server that was away, and does not come back from there', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      await b.avatars.load('ann');
      b.connection.cut();
      await a.avatars.delete('ann');
      expect(ids(b)).toEqual(['ann']);
      b.connection.restore();
      await knows(b);
      await until(async () => expect(await stored(b)).toEqual([]));
      expect(b.changed).toEqual(['ann']);
      expect(cluster.files.kept.get('ann')?.info.deleted).toBe(true);
    });

    it('goes on a server that was shut down meanwhile', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      await b.avatars.load('ann');
      await b.avatars.close();
      await a.avatars.delete('ann');
      const again = await cluster.start('b');
      await knows(again);
      await until(async () => expect(await stored(again)).toEqual([]));
      expect(cluster.files.kept.get('ann')?.info.deleted).toBe(true);
    });

    it('while it is on its way here is not kept', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      const data = cluster.files.kept.get('ann')!.data;
      vi.spyOn(b.connection, 'get').mockImplementation(async () => {
        await a.avatars.delete('ann');
        await knows(b);
        return data;
      });
      await expect(b.avatars.load('ann')).rejects.toMatchObject({ code: 'avatar_unknown' });
      expect(await stored(b)).toEqual([]);
    });
  });

  describe('an avatar deleted and made again under its id', () => {
    async function replace(b: TestServer, a: TestServer) {
      await a.avatars.delete('ann');
      await new Promise((resolve) => setTimeout(resolve, 2));
      const info = await a.avatars.create(cluster.other, OPTIONS);
      await until(() => expect(b.avatars.get('ann')).toEqual(info));
    }

    it('is the new one on every server', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      expect(await firstRed(b.avatars, 'ann')).toBe(0);
      await replace(b, a);
      expect(b.changed).toContain('ann');
      expect(await firstRed(b.avatars, 'ann')).toBe(255);
      expect(await b.avatars.portrait('ann')).toEqual(await a.avatars.portrait('ann'));
    });

    it('is the new one also on a server that was away: it does not serve the old one', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      expect(await firstRed(b.avatars, 'ann')).toBe(0);
      b.connection.cut();
      setTimeout(() => b.connection.restore(), 30);
      await replace(b, a);
      expect(b.changed).toEqual(['ann']);
      b.connection.cut();
      await expect(b.avatars.load('ann')).rejects.toMatchObject(unreachable);
      b.connection.restore();
      expect(await firstRed(b.avatars, 'ann')).toBe(255);
      const again = await cluster.start('b');
      expect(await firstRed(again.avatars, 'ann')).toBe(255);
      expect(again.connection.gets).toBe(0);
    });

    it('while the old one is on its way here is what arrives', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      const data = cluster.files.kept.get('ann')!.data;
      vi.spyOn(b.connection, 'get').mockImplementationOnce(async () => {
        await replace(b, a);
        return data;
      });
      expect(await firstRed(b.avatars, 'ann')).toBe(255);
    });
  });

  describe('without the others', () => {
    it('a server goes on with the avatars that it has', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await b.avatars.create(cluster.square, { ...OPTIONS, id: 'bo' });
      for (const server of [a, b]) await until(() => expect(ids(server)).toHaveLength(2));
      b.connection.cut();
      expect(await firstRed(b.avatars, 'bo')).toBe(0);
      expect(ids(b)).toEqual(ids(a));
      for (const wanted of [b.avatars.load('ann'), b.avatars.portrait('ann')]) {
        await expect(wanted).rejects.toMatchObject(unreachable);
      }
      b.connection.restore();
      expect(await firstRed(b.avatars, 'ann')).toBe(0);
    });

    it('only the first who wants what cannot be had waits for that', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await a.avatars.create(cluster.square, { ...OPTIONS, id: 'bo' });
      await until(() => expect(ids(b)).toHaveLength(2));
      b.connection.cut();
      await expect(b.avatars.load('ann')).rejects.toMatchObject(unreachable);
      await expect(b.avatars.load('bo')).rejects.toMatchObject(unreachable);
      expect(b.connection.gets).toBe(1);
    });

    it('a server does not open', async () => {
      const { store } = await cluster.start('a');
      const connection = cluster.files.connect();
      connection.cut();
      await expect(SharedAvatars.open({ store, files: connection })).rejects.toMatchObject(unreachable);
    });
  });

  describe('at the start', () => {
    it('a server shares the avatars of users that the others lack', async () => {
      const before = await cluster.start('a', { builtIn: 'zoe' });
      await before.store.create(cluster.square, OPTIONS); // as without a cluster
      await before.avatars.close();
      const b = await cluster.start('b');
      await cluster.start('a', { builtIn: 'zoe' });
      await knows(b, 'ann');
      expect(await firstRed(b.avatars, 'ann')).toBe(0);
      expect([...cluster.files.kept.keys()]).toEqual(['ann']);
    });

    it('a server shares one under an id that was deleted before it was made', async () => {
      const a = await cluster.start('a');
      await a.avatars.create(cluster.square, OPTIONS);
      await a.avatars.delete('ann');
      await new Promise((resolve) => setTimeout(resolve, 5));
      const alone = await cluster.start('b', { cut: true });
      await alone.store.create(cluster.other, OPTIONS);
      await cluster.start('b');
      await knows(a, 'ann');
      expect(await firstRed(a.avatars, 'ann')).toBe(255);
    });

    it('and after a lost connection: files that were lost are put again, what only others had is forgotten', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await b.avatars.create(cluster.square, { ...OPTIONS, id: 'bo' });
      for (const server of [a, b]) await until(() => expect(ids(server)).toHaveLength(2));
      for (const { connection } of [a, b]) connection.cut();
      cluster.files.kept.clear();
      a.connection.restore();
      expect(ids(a)).toEqual(['ann']);
      await until(() => expect([...cluster.files.kept.keys()]).toEqual(['ann']));
      b.connection.restore();
      for (const server of [a, b]) await until(() => expect(ids(server)).toHaveLength(2));
    });

    it('a server does not replace what it was not told of', async () => {
      const [a, alone] = [await cluster.start('a'), await cluster.start('b', { cut: true })];
      await alone.store.create(cluster.other, OPTIONS);
      await a.avatars.create(cluster.square, OPTIONS);
      vi.spyOn(alone.connection, 'watch').mockImplementation(async ({ handleAll }) => {
        handleAll([]);
        return () => {};
      });
      const { store, connection } = alone;
      connection.restore();
      const avatars = await SharedAvatars.open({ store, files: connection });
      await avatars.close();
      expect(connection.gets).toBeGreaterThan(0);
      expect(await firstRed(a.avatars, 'ann')).toBe(0);
      expect(a.changed).toEqual([]);
    });

    it('one that cannot be shared is reported, and the others are shared', async () => {
      const alone = await cluster.start('a', { cut: true });
      for (const id of ['ann', 'bo']) await alone.store.create(cluster.square, { ...OPTIONS, id });
      await rm(join(alone.directory, 'ann.portrait.jpg'));
      const a = await cluster.start('a');
      await until(() => expect([...cluster.files.kept.keys()]).toEqual(['bo']));
      expect(a.warnings).toEqual([expect.stringContaining('ann could not be shared')]);
      expect(ids(a)).toEqual(['ann', 'bo']);
    });
  });

  describe('shared files that are not what they should be', () => {
    it('are reported when they are told, and not listed', async () => {
      const about = { name: 'x', model: 'm', createdAt: new Date().toISOString(), source: '' };
      const change = (key: string, different: Record<string, string>) =>
        cluster.files.change(
          { key, about: { ...about, ...different }, deleted: false, changedAtMs: 1 },
          new Uint8Array(),
        );
      change('../x', {});
      change('a', { name: 'a\nb' });
      change('b', { createdAt: 'yesterday' });
      const a = await cluster.start('a');
      expect(ids(a)).toEqual([]);
      expect(a.warnings).toHaveLength(3);
      a.connection.restore(); // all are told again, but not reported
      expect(a.warnings).toHaveLength(3);
    });

    it('are avatar_corrupt when they are wanted, and nothing of them is kept', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await a.avatars.create(cluster.square, { ...OPTIONS, id: 'bo' });
      await knows(b, 'ann', 'bo');
      const kept = cluster.files.kept.get('ann')!;
      const whole = packr.unpack(kept.data) as Record<string, Uint8Array>;
      const flipped = Uint8Array.from(whole.avatar!);
      flipped[flipped.length - 1]! ^= 1;
      const broken = {
        empty: new Uint8Array(),
        random: Uint8Array.from({ length: 1000 }, (_, i) => (i * 97) % 256),
        cut: kept.data.subarray(0, kept.data.length >> 1),
        withoutPortrait: packr.pack({ ...whole, portrait: undefined }),
        otherFormat: packr.pack({ ...whole, format: 'facewire-shared-avatar/2' }),
        flipped: packr.pack({ ...whole, avatar: flipped }),
        ofAnother: cluster.files.kept.get('bo')!.data,
        halfPortrait: packr.pack({ ...whole, portrait: whole.portrait!.subarray(0, 500) }),
        largeThumbnail: packr.pack({ ...whole, thumbnail: whole.portrait }),
        otherPicture: packr.pack({ ...whole, portrait: cluster.square }),
      };
      for (const [name, data] of Object.entries(broken)) {
        cluster.files.kept.set('ann', { ...kept, data });
        await expect(b.avatars.load('ann'), name).rejects.toMatchObject({ code: 'avatar_corrupt' });
        await expect(b.avatars.portrait('ann'), name).rejects.toMatchObject({ code: 'avatar_corrupt' });
      }
      expect(await stored(b)).toEqual([]);
      cluster.files.kept.set('ann', kept);
      expect(await firstRed(b.avatars, 'ann')).toBe(0);
    });

    it('cannot pass for a built-in avatar', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      const kept = cluster.files.kept.get('ann')!;
      const whole = packr.unpack(kept.data) as Record<string, Uint8Array>;
      const text = Buffer.from(whole.avatar!).toString('latin1').replace('"builtIn":"false"', '"builtIn":"true" ');
      cluster.files.kept.set('ann', { ...kept, data: packr.pack({ ...whole, avatar: Buffer.from(text, 'latin1') }) });
      await expect(b.avatars.load('ann')).rejects.toMatchObject({ code: 'avatar_corrupt' });
    });
  });
});
