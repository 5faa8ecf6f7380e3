import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Packr } from 'msgpackr';
import sharp from 'sharp';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AvatarStore, Tensor } from '../contracts.ts';
import { FileAvatarStore } from './FileAvatarStore.ts';
import { SharedAvatars } from './SharedAvatars.ts';
import { faceLandmarks, gradientImage } from './testdata/face.ts';
import { MemoryFiles, type MemoryFilesConnection } from './testing/MemoryFiles.ts';

const LANDMARKS = faceLandmarks(256, 200, 97);
const OPTIONS = { name: 'Ann', id: 'ann', landmarks: LANDMARKS };
const packr = new Packr({ useRecords: false });

interface Server {
  avatars: SharedAvatars;
  store: FileAvatarStore;
  connection: MemoryFilesConnection;
  directory: string;
  changed: string[];
  warnings: string[];
  /** how many avatars its model made */
  made(): number;
}

describe('SharedAvatars', () => {
  let files: MemoryFiles;
  let root: string;
  let square: Buffer;
  let other: Buffer;
  const running: AvatarStore[] = [];

  beforeAll(async () => {
    square = await gradientImage(512, 512).png().toBuffer();
    other = await sharp(square).negate().png().toBuffer();
  });
  beforeEach(async () => {
    files = new MemoryFiles();
    root = await mkdtemp(join(tmpdir(), 'facewire-shared-'));
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((avatars) => avatars.close()));
    await rm(root, { recursive: true, force: true });
  });

  /** A server with files of its own in `name`; the same name again is the same server after a restart. */
  async function start(
    name: string,
    { model = 'test@1.0.0', builtIn, cut = false }: { model?: string; builtIn?: string; cut?: boolean } = {},
  ): Promise<Server> {
    const [changed, warnings]: [string[], string[]] = [[], []];
    const tellers = {
      warn: (message: string) => void warnings.push(message),
      onChange: (id: string) => void changed.push(id),
    };
    let made = 0;
    const directory = join(root, name);
    const store = await FileAvatarStore.open({
      directory,
      encoder: {
        model,
        async encode(portrait) {
          made++;
          return new Map<string, Tensor>([['red', { dtype: 'uint8', shape: [3], data: portrait.slice(0, 3) }]]);
        },
      },
      ...tellers,
    });
    if (builtIn) store.addBuiltIn(square, { id: builtIn, name: 'Built in', landmarks: LANDMARKS });
    const connection = files.connect();
    const avatars = await SharedAvatars.open({ store, files: connection, ...tellers });
    running.push(avatars);
    if (cut) connection.cut();
    return { avatars, store, connection, directory, changed, warnings, made: () => made };
  }

  const ids = ({ avatars }: Server) => avatars.list().map(({ id }) => id);
  const until = (check: () => void) => vi.waitFor(check, { interval: 5 });
  const knows = (server: Server, ...expected: string[]) => until(() => expect(ids(server)).toEqual(expected));
  const first = async (avatars: AvatarStore, id: string) => (await avatars.load(id)).tensors.get('red')!.data[0];
  const stored = async ({ directory }: Server) => (await readdir(directory)).filter((file) => !file.endsWith('.tmp'));
  const unreachable = { code: 'cluster_unavailable' };

  describe('an avatar made on one server', () => {
    it('is listed on the others, loads there and has its portrait', async () => {
      const [a, b] = [await start('a'), await start('b')];
      const info = await a.avatars.create(square, OPTIONS);
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
      const a = await start('a');
      await a.avatars.create(square, OPTIONS);
      const b = await start('b');
      expect(ids(b)).toEqual(['ann']);
      expect(await b.avatars.portrait('ann')).toBeDefined();
      const again = await start('b', { cut: true });
      expect(await first(again.avatars, 'ann')).toBe(0);
      expect(again.connection.gets).toBe(0);
    });

    it('comes once, however many want it', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      const all = await Promise.all([1, 2, 3].flatMap(() => [b.avatars.load('ann'), b.avatars.portrait('ann')]));
      expect(all.every((each) => each !== undefined)).toBe(true);
      expect(b.connection.gets).toBe(1);
    });

    it('is made again from its portrait where the model is another', async () => {
      const [a, b] = [await start('a'), await start('b', { model: 'test@2.0.0' })];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      expect(await b.avatars.load('ann')).toMatchObject({ model: 'test@2.0.0' });
      expect(b.made()).toBe(1);
      await b.avatars.load('ann');
      expect(b.made()).toBe(1);
      expect(await a.avatars.load('ann')).toMatchObject({ model: 'test@1.0.0' });
    });

    it('is seen by nobody before it is shared', async () => {
      const [a, b] = [await start('a'), await start('b')];
      let seen: string[] | undefined;
      a.connection.beforePut = () => {
        seen = [...ids(a), ...ids(b)];
      };
      await a.avatars.create(square, OPTIONS);
      expect(seen).toEqual([]);
      expect(ids(a)).toEqual(['ann']);
    });

    it('is not made when it cannot be shared', async () => {
      const [a, b] = [await start('a'), await start('b')];
      a.connection.cut();
      await expect(a.avatars.create(square, OPTIONS)).rejects.toMatchObject(unreachable);
      expect([ids(a), await stored(a)]).toEqual([[], []]);
      a.connection.restore();
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
    });

    it('is taken back when it was shared after all, and its maker was told that it was not', async () => {
      const [a, b] = [await start('a'), await start('b')];
      a.connection.losesAnswers = true;
      await expect(a.avatars.create(square, OPTIONS)).rejects.toMatchObject(unreachable);
      a.connection.losesAnswers = false;
      await until(() => expect(files.kept.get('ann')?.info.deleted).toBe(true));
      await knows(b);
      expect(ids(a)).toEqual([]);
      await a.avatars.create(other, OPTIONS);
      await knows(b, 'ann');
      expect(await first(b.avatars, 'ann')).toBe(255);
    });
  });

  describe('an id', () => {
    it('that another server has is taken, and nothing is made', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      await expect(b.avatars.create(other, OPTIONS)).rejects.toMatchObject({ code: 'avatar_exists' });
      expect([b.made(), await stored(b)]).toEqual([0, []]);
    });

    it('that another server took meanwhile is refused before the file is put', async () => {
      const [a, b] = [await start('a'), await start('b')];
      const slow = b.avatars.create(other, OPTIONS);
      // The watch tells of the other one while this one is made.
      files.change(
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
      const [a, b] = [await start('a'), await start('b')];
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
      await Promise.all([a.avatars.create(square, OPTIONS), b.avatars.create(other, OPTIONS)]);
      await until(() => expect(a.avatars.get('ann')).toEqual(b.avatars.get('ann')));
      await until(() => expect(a.changed).toContain('ann'));
      expect([await first(a.avatars, 'ann'), await first(b.avatars, 'ann')]).toEqual([255, 255]);
      expect(a.avatars.get('ann')).toEqual(b.avatars.get('ann'));
    });

    it('of a built-in avatar keeps meaning that one, and is reported', async () => {
      const a = await start('a');
      await a.avatars.create(square, OPTIONS);
      const b = await start('b', { builtIn: 'ann' });
      expect(b.avatars.list()).toMatchObject([{ id: 'ann', name: 'Built in', builtIn: true }]);
      expect(b.warnings).toEqual([expect.stringContaining('built-in')]);
      expect(await b.avatars.load('ann')).toMatchObject({ name: 'Built in' });
      await expect(b.avatars.delete('ann')).rejects.toMatchObject({ code: 'role_forbidden' });
      expect(files.kept.get('ann')?.info.deleted).toBe(false);
    });
  });

  it('lists built-in avatars first, then those of all servers by age; built-in ones are not shared', async () => {
    const [a, b] = [await start('a', { builtIn: 'zoe' }), await start('b', { builtIn: 'zoe' })];
    for (const [server, id] of [
      [b, 'one'],
      [a, 'two'],
      [b, 'three'],
    ] as const) {
      await server.avatars.create(square, { ...OPTIONS, id });
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    for (const server of [a, b]) await knows(server, 'zoe', 'one', 'two', 'three');
    expect([...files.kept.keys()].sort()).toEqual(['one', 'three', 'two']);
  });

  describe('a deleted avatar', () => {
    it('goes on every server, and their banks forget it', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
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
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      await b.avatars.delete('ann');
      await knows(a);
      expect(ids(b)).toEqual([]);
    });

    it('stays everywhere when the others cannot be told', async () => {
      const a = await start('a');
      await a.avatars.create(square, OPTIONS);
      a.connection.cut();
      await expect(a.avatars.delete('ann')).rejects.toMatchObject(unreachable);
      expect(await first(a.avatars, 'ann')).toBe(0);
      expect(files.kept.get('ann')?.info.deleted).toBe(false);
    });

    it('goes also on a server that was away, and does not come back from there', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      await b.avatars.load('ann');
      b.connection.cut();
      await a.avatars.delete('ann');
      expect(ids(b)).toEqual(['ann']);
      b.connection.restore();
      await knows(b);
      await until(async () => expect(await stored(b)).toEqual([]));
      expect(b.changed).toEqual(['ann']);
      expect(files.kept.get('ann')?.info.deleted).toBe(true);
    });

    it('goes on a server that was shut down meanwhile', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      await b.avatars.load('ann');
      await b.avatars.close();
      await a.avatars.delete('ann');
      const again = await start('b');
      await knows(again);
      await until(async () => expect(await stored(again)).toEqual([]));
      expect(files.kept.get('ann')?.info.deleted).toBe(true);
    });

    it('while it is on its way here is not kept', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      const data = files.kept.get('ann')!.data;
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
    async function replace(b: Server, a: Server) {
      await a.avatars.delete('ann');
      await new Promise((resolve) => setTimeout(resolve, 2));
      const info = await a.avatars.create(other, OPTIONS);
      await until(() => expect(b.avatars.get('ann')).toEqual(info));
    }

    it('is the new one on every server', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      expect(await first(b.avatars, 'ann')).toBe(0);
      await replace(b, a);
      expect(b.changed).toContain('ann');
      expect(await first(b.avatars, 'ann')).toBe(255);
      expect(await b.avatars.portrait('ann')).toEqual(await a.avatars.portrait('ann'));
    });

    it('is the new one also on a server that was away: it does not serve the old one', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      expect(await first(b.avatars, 'ann')).toBe(0);
      b.connection.cut();
      setTimeout(() => b.connection.restore(), 30);
      await replace(b, a);
      expect(b.changed).toEqual(['ann']);
      b.connection.cut();
      await expect(b.avatars.load('ann')).rejects.toMatchObject(unreachable);
      b.connection.restore();
      expect(await first(b.avatars, 'ann')).toBe(255);
      const again = await start('b');
      expect(await first(again.avatars, 'ann')).toBe(255);
      expect(again.connection.gets).toBe(0);
    });

    it('while the old one is on its way here is what arrives', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      const data = files.kept.get('ann')!.data;
      vi.spyOn(b.connection, 'get').mockImplementationOnce(async () => {
        await replace(b, a);
        return data;
      });
      expect(await first(b.avatars, 'ann')).toBe(255);
    });
  });

  describe('without the others', () => {
    it('a server goes on with the avatars that it has', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await b.avatars.create(square, { ...OPTIONS, id: 'bo' });
      for (const server of [a, b]) await until(() => expect(ids(server)).toHaveLength(2));
      b.connection.cut();
      expect(await first(b.avatars, 'bo')).toBe(0);
      expect(ids(b)).toEqual(ids(a));
      for (const wanted of [b.avatars.load('ann'), b.avatars.portrait('ann')]) {
        await expect(wanted).rejects.toMatchObject(unreachable);
      }
      b.connection.restore();
      expect(await first(b.avatars, 'ann')).toBe(0);
    });

    it('a server does not open', async () => {
      const store = await FileAvatarStore.open({ directory: root, encoder: { model: 'm', encode: vi.fn() } });
      const connection = files.connect();
      connection.cut();
      await expect(SharedAvatars.open({ store, files: connection })).rejects.toMatchObject(unreachable);
    });
  });

  describe('at the start', () => {
    it('a server shares the avatars of users that the others lack', async () => {
      const before = await start('a', { builtIn: 'zoe' });
      await before.store.create(square, OPTIONS); // as without a cluster
      await before.avatars.close();
      const b = await start('b');
      await start('a', { builtIn: 'zoe' });
      await knows(b, 'ann');
      expect(await first(b.avatars, 'ann')).toBe(0);
      expect([...files.kept.keys()]).toEqual(['ann']);
    });

    it('a server shares one under an id that was deleted before it was made', async () => {
      const a = await start('a');
      await a.avatars.create(square, OPTIONS);
      await a.avatars.delete('ann');
      await new Promise((resolve) => setTimeout(resolve, 5));
      const alone = await start('b', { cut: true });
      await alone.store.create(other, OPTIONS);
      await start('b');
      await knows(a, 'ann');
      expect(await first(a.avatars, 'ann')).toBe(255);
    });

    it('and after a lost connection: files that were lost are put again, what only others had is forgotten', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await b.avatars.create(square, { ...OPTIONS, id: 'bo' });
      for (const server of [a, b]) await until(() => expect(ids(server)).toHaveLength(2));
      for (const { connection } of [a, b]) connection.cut();
      files.kept.clear();
      a.connection.restore();
      expect(ids(a)).toEqual(['ann']);
      await until(() => expect([...files.kept.keys()]).toEqual(['ann']));
      b.connection.restore();
      for (const server of [a, b]) await until(() => expect(ids(server)).toHaveLength(2));
    });

    it('one that cannot be shared is reported, and the others are shared', async () => {
      const alone = await start('a', { cut: true });
      for (const id of ['ann', 'bo']) await alone.store.create(square, { ...OPTIONS, id });
      await rm(join(alone.directory, 'ann.portrait.jpg'));
      const a = await start('a');
      await until(() => expect([...files.kept.keys()]).toEqual(['bo']));
      expect(a.warnings).toEqual([expect.stringContaining('ann could not be shared')]);
      expect(ids(a)).toEqual(['ann', 'bo']);
    });
  });

  describe('shared files that are not what they should be', () => {
    it('are reported when they are told, and not listed', async () => {
      const about = { name: 'x', model: 'm', createdAt: new Date().toISOString(), source: '' };
      const change = (key: string, different: Record<string, string>) =>
        files.change({ key, about: { ...about, ...different }, deleted: false, changedAtMs: 1 }, new Uint8Array());
      change('../x', {});
      change('a', { name: 'a\nb' });
      change('b', { createdAt: 'yesterday' });
      const a = await start('a');
      expect(ids(a)).toEqual([]);
      expect(a.warnings).toHaveLength(3);
    });

    it('are avatar_corrupt when they are wanted, and nothing of them is kept', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await a.avatars.create(square, { ...OPTIONS, id: 'bo' });
      await knows(b, 'ann', 'bo');
      const kept = files.kept.get('ann')!;
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
        ofAnother: files.kept.get('bo')!.data,
        halfPortrait: packr.pack({ ...whole, portrait: whole.portrait!.subarray(0, 500) }),
        largeThumbnail: packr.pack({ ...whole, thumbnail: whole.portrait }),
        otherPicture: packr.pack({ ...whole, portrait: square }),
      };
      for (const [name, data] of Object.entries(broken)) {
        files.kept.set('ann', { ...kept, data });
        await expect(b.avatars.load('ann'), name).rejects.toMatchObject({ code: 'avatar_corrupt' });
        await expect(b.avatars.portrait('ann'), name).rejects.toMatchObject({ code: 'avatar_corrupt' });
      }
      expect(await stored(b)).toEqual([]);
      files.kept.set('ann', kept);
      expect(await first(b.avatars, 'ann')).toBe(0);
    });

    it('cannot pass for a built-in avatar', async () => {
      const [a, b] = [await start('a'), await start('b')];
      await a.avatars.create(square, OPTIONS);
      await knows(b, 'ann');
      const kept = files.kept.get('ann')!;
      const whole = packr.unpack(kept.data) as Record<string, Uint8Array>;
      const text = Buffer.from(whole.avatar!).toString('latin1').replace('"builtIn":"false"', '"builtIn":"true" ');
      files.kept.set('ann', { ...kept, data: packr.pack({ ...whole, avatar: Buffer.from(text, 'latin1') }) });
      await expect(b.avatars.load('ann')).rejects.toMatchObject({ code: 'avatar_corrupt' });
    });
  });

  it('closing waits for what is being shared, and refuses what comes after', async () => {
    const a = await start('a');
    let release = () => {};
    a.connection.beforePut = () => new Promise<void>((resolve) => (release = resolve));
    const creating = a.avatars.create(square, OPTIONS);
    await until(async () => expect(await stored(a)).toHaveLength(3));
    const closing = a.avatars.close();
    await expect(a.avatars.create(square, { ...OPTIONS, id: 'late' })).rejects.toMatchObject({
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
    expect(files.kept.has('ann')).toBe(true);
  });
});
