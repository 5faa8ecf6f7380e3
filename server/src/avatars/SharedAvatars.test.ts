import { describe, expect, it } from 'vitest';
import { firstRed, ids, knows, OPTIONS, stored, TestCluster, until } from './testing/sharedServers.ts';

describe('SharedAvatars', () => {
  const cluster = TestCluster.setUp();

  const unreachable = { code: 'cluster_unavailable' };

  describe('an avatar made on one server', () => {
    it('is listed on the others, loads there and has its portrait', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      const info = await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      expect(b.avatars.get('ann')).toEqual(info);
      expect(await stored(b)).toEqual([]);
      expect(await b.avatars.load('ann')).toEqual(await a.avatars.load('ann'));
      expect(await b.avatars.portrait('ann')).toEqual(await a.avatars.portrait('ann'));
      expect(await stored(b)).toEqual(await stored(a));
      expect([b.made(), b.connection.gets]).toEqual([0, 1]);
      expect(b.changed).toEqual([]);
    });

    it('is there for a server that starts later, and stays after it is brought over', async () => {
      const a = await cluster.start('a');
      await a.avatars.create(cluster.square, OPTIONS);
      const b = await cluster.start('b');
      expect(ids(b)).toEqual(['ann']);
      expect(await b.avatars.portrait('ann')).toBeDefined();
      const again = await cluster.start('b', { cut: true });
      expect(await firstRed(again.avatars, 'ann')).toBe(0);
      expect(again.connection.gets).toBe(0);
    });

    it('comes once, however many want it', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      const all = await Promise.all([1, 2, 3].flatMap(() => [b.avatars.load('ann'), b.avatars.portrait('ann')]));
      expect(all.every((each) => each !== undefined)).toBe(true);
      expect(b.connection.gets).toBe(1);
    });

    it('comes before thumbnails for lists that were asked for earlier', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      const names = ['ann', 'bo', 'cyd', 'dan', 'eve'];
      for (const id of names) await a.avatars.create(cluster.square, { ...OPTIONS, id });
      await until(() => expect(ids(b)).toHaveLength(names.length));
      let goOn = () => {};
      const held = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      b.connection.beforeGet = () => (b.connection.gets === 1 ? held : undefined);
      const thumbnails = Promise.all(names.map((id) => b.avatars.portrait(id)));
      // The first thumbnail is under way and hangs; this face waits as the last of those behind it.
      expect(await firstRed(b.avatars, 'eve')).toBe(0);
      goOn();
      expect(await thumbnails).not.toContain(undefined);
    });

    it('is made again from its portrait where the model is another', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b', { model: 'test@2.0.0' })];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      expect(await b.avatars.load('ann')).toMatchObject({ model: 'test@2.0.0' });
      expect(b.made()).toBe(1);
      await b.avatars.load('ann');
      expect(b.made()).toBe(1);
      expect(await a.avatars.load('ann')).toMatchObject({ model: 'test@1.0.0' });
    });

    it('is seen by nobody before it is shared', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      let seen: string[] | undefined;
      a.connection.beforePut = () => {
        seen = [...ids(a), ...ids(b)];
      };
      await a.avatars.create(cluster.square, OPTIONS);
      expect(seen).toEqual([]);
      expect(ids(a)).toEqual(['ann']);
    });

    it('is not made when it cannot be shared', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      a.connection.cut();
      await expect(a.avatars.create(cluster.square, OPTIONS)).rejects.toMatchObject(unreachable);
      expect([ids(a), await stored(a)]).toEqual([[], []]);
      a.connection.restore();
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
    });

    it('is taken back when it was shared after all, and its maker was told that it was not', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      a.connection.losesAnswers = true;
      await expect(a.avatars.create(cluster.square, OPTIONS)).rejects.toMatchObject(unreachable);
      a.connection.losesAnswers = false;
      await until(() => expect(cluster.files.kept.get('ann')?.info.deleted).toBe(true));
      await knows(b);
      expect(ids(a)).toEqual([]);
      await a.avatars.create(cluster.other, OPTIONS);
      await knows(b, 'ann');
      expect(await firstRed(b.avatars, 'ann')).toBe(255);
    });
  });

  describe('an id', () => {
    it('that another server has is taken, and nothing is made', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      await a.avatars.create(cluster.square, OPTIONS);
      await knows(b, 'ann');
      await expect(b.avatars.create(cluster.other, OPTIONS)).rejects.toMatchObject({ code: 'avatar_exists' });
      expect([b.made(), await stored(b)]).toEqual([0, []]);
    });

    it('that another server took meanwhile is refused before the file is put', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      const slow = b.avatars.create(cluster.other, OPTIONS);
      // The watch tells of the other one while this one is made.
      cluster.files.change(
        {
          key: 'ann',
          about: { name: 'Ann', model: 'm', createdAt: new Date().toISOString(), source: '' },
          deleted: false,
          changedAtMs: 1,
        },
        new Uint8Array(),
      );
      await expect(slow).rejects.toMatchObject({ code: 'avatar_exists' });
      expect(await stored(b)).toEqual([]);
      await knows(a, 'ann');
    });

    it('that two servers take at the same moment ends with the same avatar on both', async () => {
      const [a, b] = [await cluster.start('a'), await cluster.start('b')];
      let arrived = 0;
      const both = async () => {
        arrived++;
        await until(() => expect(arrived).toBe(2));
      };
      a.connection.beforePut = both;
      b.connection.beforePut = async () => {
        await both();
        await new Promise((resolve) => setTimeout(resolve, 20));
      };
      await Promise.all([a.avatars.create(cluster.square, OPTIONS), b.avatars.create(cluster.other, OPTIONS)]);
      await until(() => expect(a.avatars.get('ann')).toEqual(b.avatars.get('ann')));
      await until(() => expect(a.changed).toContain('ann'));
      expect([await firstRed(a.avatars, 'ann'), await firstRed(b.avatars, 'ann')]).toEqual([255, 255]);
      expect(a.avatars.get('ann')).toEqual(b.avatars.get('ann'));
    });

    it('of a built-in avatar keeps meaning that one, and is reported', async () => {
      const a = await cluster.start('a');
      await a.avatars.create(cluster.square, OPTIONS);
      const b = await cluster.start('b', { builtIn: 'ann' });
      expect(b.avatars.list()).toMatchObject([{ id: 'ann', name: 'Built in', builtIn: true }]);
      expect(b.warnings).toEqual([expect.stringContaining('built-in')]);
      expect(await b.avatars.load('ann')).toMatchObject({ name: 'Built in' });
      await expect(b.avatars.delete('ann')).rejects.toMatchObject({ code: 'role_forbidden' });
      expect(cluster.files.kept.get('ann')?.info.deleted).toBe(false);
    });
  });

  it('lists built-in avatars first, then those of all servers by age; built-in ones are not shared', async () => {
    const [a, b] = [await cluster.start('a', { builtIn: 'zoe' }), await cluster.start('b', { builtIn: 'zoe' })];
    for (const [server, id] of [
      [b, 'one'],
      [a, 'two'],
      [b, 'three'],
    ] as const) {
      await server.avatars.create(cluster.square, { ...OPTIONS, id });
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    for (const server of [a, b]) await knows(server, 'zoe', 'one', 'two', 'three');
    expect([...cluster.files.kept.keys()].sort()).toEqual(['one', 'three', 'two']);
  });

  it('closing waits for what is being shared, and refuses what comes after', async () => {
    const a = await cluster.start('a');
    let release = () => {};
    a.connection.beforePut = () => new Promise<void>((resolve) => (release = resolve));
    const creating = a.avatars.create(cluster.square, OPTIONS);
    await until(async () => expect(await stored(a)).toHaveLength(3));
    const closing = a.avatars.close();
    await expect(a.avatars.create(cluster.square, { ...OPTIONS, id: 'late' })).rejects.toMatchObject({
      code: 'server_closing',
    });
    let closed = false;
    void closing.then(() => (closed = true));
    await until(() => expect(release.toString()).not.toBe('() => {}'));
    expect(closed).toBe(false);
    release();
    expect((await creating).id).toBe('ann');
    await closing;
    await a.avatars.close();
    expect(cluster.files.kept.has('ann')).toBe(true);
  });
});
