import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeAll, beforeEach, expect, vi } from 'vitest';
import type { AvatarStore, Tensor } from '../../contracts.ts';
import { FileAvatarStore } from '../FileAvatarStore.ts';
import { SharedAvatars } from '../SharedAvatars.ts';
import { faceLandmarks, gradientImage } from '../testdata/face.ts';
import { MemoryFiles, type MemoryFilesConnection } from './MemoryFiles.ts';

export const OPTIONS = { name: 'Ann', id: 'ann', landmarks: faceLandmarks(256, 200, 97) };

export interface TestServer {
  avatars: SharedAvatars;
  store: FileAvatarStore;
  connection: MemoryFilesConnection;
  directory: string;
  /** ids that its bank was told to forget */
  changed: string[];
  warnings: string[];
  /** how many avatars its model made */
  made(): number;
}

/** What tests of several servers need, new for each test. Its model keeps one pixel of the portrait. */
export class TestCluster {
  files = new MemoryFiles();
  /** portraits whose first pixel has 0 and 255 red */
  square!: Uint8Array;
  other!: Uint8Array;
  #root = '';
  #running: AvatarStore[] = [];

  /** Call it inside of a describe block. */
  static setUp(): TestCluster {
    const cluster = new TestCluster();
    beforeAll(async () => {
      cluster.square = await gradientImage(512, 512).png().toBuffer();
      cluster.other = await sharp(cluster.square).negate().png().toBuffer();
    });
    beforeEach(async () => {
      cluster.files = new MemoryFiles();
      cluster.#root = await mkdtemp(join(tmpdir(), 'facewire-shared-'));
    });
    afterEach(async () => {
      await Promise.all(cluster.#running.splice(0).map((avatars) => avatars.close()));
      await rm(cluster.#root, { recursive: true, force: true });
    });
    return cluster;
  }

  /** A server with files of its own in `name`; the same name again is the same server after a restart. */
  async start(
    name: string,
    { model = 'test@1.0.0', builtIn, cut = false }: { model?: string; builtIn?: string; cut?: boolean } = {},
  ): Promise<TestServer> {
    const [changed, warnings]: [string[], string[]] = [[], []];
    const tellers = {
      warn: (message: string) => void warnings.push(message),
      onChange: (id: string) => void changed.push(id),
    };
    let made = 0;
    const directory = join(this.#root, name);
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
    if (builtIn) {
      store.addBuiltIn(this.square, { id: builtIn, name: 'Built in', landmarks: OPTIONS.landmarks });
    }
    const connection = this.files.connect();
    const avatars = await SharedAvatars.open({ store, files: connection, ...tellers });
    this.#running.push(avatars);
    if (cut) connection.cut();
    return { avatars, store, connection, directory, changed, warnings, made: () => made };
  }
}

export const ids = ({ avatars }: TestServer) => avatars.list().map(({ id }) => id);

export const until = (check: () => void | Promise<void>) => vi.waitFor(check, { interval: 5 });

/** Resolves when these are the avatars that it lists. */
export const knows = (server: TestServer, ...expected: string[]) => until(() => expect(ids(server)).toEqual(expected));

/** Red of the first pixel: tells `square` (0) and `other` (255) apart. */
export const firstRed = async (avatars: AvatarStore, id: string) =>
  (await avatars.load(id)).tensors.get('red')!.data[0];

/** Names of the avatars' files that it keeps. */
export const stored = async ({ directory }: TestServer) =>
  (await readdir(directory)).filter((file) => !file.endsWith('.tmp'));
