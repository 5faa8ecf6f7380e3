import { afterEach, expect, it, vi } from 'vitest';
import type { SharedFileInfo, SharedFiles, SharedFilesListener } from '../server/src/contracts.ts';

export interface SharedFilesHarness {
  /** one more server's files, of the same cluster */
  connect(): Promise<SharedFiles>;
  /** Lets none of the connections reach the files until restore(), and resolves when they know. */
  cut(): Promise<void>;
  restore(): Promise<void>;
}

const PATIENCE = { timeout: 15_000, interval: 20 };

/** Keeps what it is told. */
class Recorder implements SharedFilesListener {
  readonly tellings: SharedFileInfo[][] = [];
  readonly changes: SharedFileInfo[] = [];

  handleAll(files: readonly SharedFileInfo[]): void {
    this.tellings.push([...files].sort((a, b) => (a.key < b.key ? -1 : 1)));
  }

  handleChange(file: SharedFileInfo): void {
    this.changes.push(file);
  }
}

/** What SharedFiles do, wherever they are kept. Call it inside of a describe block that names them; each test has new ones. */
export function describeSharedFilesConformance(
  start: () => Promise<SharedFilesHarness & { close(): Promise<void> }>,
): void {
  const cleanups: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function setUp() {
    const harness = await start();
    cleanups.push(() => harness.close());
    const watch = async (files: SharedFiles) => {
      const told = new Recorder();
      const end = await files.watch(told);
      cleanups.push(end);
      return { told, end };
    };
    return { harness, watch, a: await harness.connect(), b: await harness.connect() };
  }
  const text = (data: Uint8Array | undefined) => data && Buffer.from(data).toString();
  const bytes = (value: string) => new TextEncoder().encode(value);
  const unavailable = {
    code: 'cluster_unavailable',
    remedy: expect.any(String),
  };

  it('a file put by one server is had by another, byte by byte', async () => {
    const { a, b } = await setUp();
    const large = Uint8Array.from({ length: 3_000_001 }, (_, i) => (i * 7919) >> 5);
    await a.put('ann', { name: 'Ann' }, large);
    expect(Buffer.compare((await b.get('ann'))!, large)).toBe(0);
    await a.put('none', {}, new Uint8Array());
    expect(await b.get('none')).toHaveLength(0);
    expect(await b.get('nobody')).toBeUndefined();
  });

  it('a file put again is the new one', async () => {
    const { a, b } = await setUp();
    await a.put('ann', { version: '1' }, bytes('one'));
    await b.put('ann', { version: '2' }, bytes('two'));
    expect([text(await a.get('ann')), text(await b.get('ann'))]).toEqual(['two', 'two']);
  });

  it('a deleted file is gone, its key can be used again, and deleting none is no error', async () => {
    const { a, b } = await setUp();
    await a.put('ann', {}, bytes('one'));
    await b.delete('ann');
    expect(await a.get('ann')).toBeUndefined();
    await b.delete('ann');
    await b.delete('nobody');
    await a.put('ann', {}, bytes('two'));
    expect(text(await b.get('ann'))).toBe('two');
  });

  it('the data may be used again after put(), and what get() gives is the caller’s', async () => {
    const { a, b } = await setUp();
    const data = bytes('one');
    await a.put('ann', {}, data);
    data.fill(0);
    (await a.get('ann'))!.fill(0);
    expect(text(await b.get('ann'))).toBe('one');
  });

  it('watching begins with all files, those that were deleted too, with the time of the deletion', async () => {
    const { a, b, watch } = await setUp();
    expect((await watch(a)).told.tellings).toEqual([[]]);
    await a.put('ann', { name: 'Ann', model: 'm' }, bytes('one'));
    await a.put('bo', { name: 'Bo' }, bytes('two'));
    await a.put('ann', { name: 'Ann', model: 'n' }, bytes('three'));
    const betweenMs = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await b.delete('bo');
    const { told } = await watch(b);
    expect(told.tellings).toEqual([
      [
        { key: 'ann', about: { name: 'Ann', model: 'n' }, deleted: false, changedAtMs: expect.any(Number) },
        { key: 'bo', about: { name: 'Bo' }, deleted: true, changedAtMs: expect.any(Number) },
      ],
    ]);
    const [ann, bo] = told.tellings[0]!;
    expect(ann!.changedAtMs).toBeLessThanOrEqual(betweenMs + 1);
    expect(bo!.changedAtMs).toBeGreaterThan(betweenMs + 1);
    expect(told.changes).toEqual([]);
  });

  it('watching tells many files at once, each as it is now', async () => {
    const { a, b, watch } = await setUp();
    for (let i = 0; i < 60; i++) await a.put(`key-${i % 30}`, { i: String(i) }, bytes('x'));
    const [all] = (await watch(b)).told.tellings;
    expect(all!.map(({ about }) => Number(about.i)).sort((x, y) => x - y)).toEqual(
      Array.from({ length: 30 }, (_, i) => 30 + i),
    );
  });

  it('every change is told in order, to whoever made it too, until the watch ends', async () => {
    const { a, b, watch } = await setUp();
    const watches = [await watch(a), await watch(b)];
    await a.put('ann', { n: '1' }, bytes('one'));
    await b.delete('ann');
    await b.put('ann', { n: '2' }, bytes('two'));
    for (const { told } of watches) {
      await vi.waitFor(() => expect(told.changes).toHaveLength(3), PATIENCE);
      expect(told.changes.map(({ key, about, deleted }) => [key, about.n, deleted])).toEqual([
        ['ann', '1', false],
        ['ann', '1', true],
        ['ann', '2', false],
      ]);
    }
    watches[0]!.end();
    await a.put('bo', {}, bytes('x'));
    await vi.waitFor(() => expect(watches[1]!.told.changes).toHaveLength(4), PATIENCE);
    expect(watches[0]!.told.changes).toHaveLength(3);
  });

  it('while they cannot be reached everything is cluster_unavailable; then all is told again, and changes after it', async () => {
    const { harness, a, b, watch } = await setUp();
    await a.put('ann', {}, bytes('one'));
    const { told } = await watch(b);
    await harness.cut();
    await expect(a.put('ann', {}, bytes('two'))).rejects.toMatchObject(unavailable);
    await expect(a.get('ann')).rejects.toMatchObject(unavailable);
    await expect(a.delete('ann')).rejects.toMatchObject(unavailable);
    await expect(a.watch(new Recorder())).rejects.toMatchObject(unavailable);
    await harness.restore();
    await vi.waitFor(() => expect(told.tellings.length).toBeGreaterThan(1), PATIENCE);
    expect(told.tellings[1]).toEqual(told.tellings[0]);
    expect(text(await vi.waitFor(() => a.get('ann'), PATIENCE))).toBe('one');
    await a.put('bo', {}, bytes('x'));
    await vi.waitFor(() => expect(told.changes.map(({ key }) => key)).toEqual(['bo']), PATIENCE);
  });
}
