import { expect, it } from 'vitest';
import { UploadGate } from './UploadGate.ts';

/** A gate for two at once with two waiting, and tasks that end when they are told to. */
function setUp() {
  const gate = new UploadGate({ atOnce: 2, waiting: 2 });
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const run = (name: string) =>
    gate.run(() => {
      begun.push(name);
      return new Promise<string>((resolve) => ends.set(name, () => resolve(name)));
    });
  return { gate, begun, run, end: (name: string) => ends.get(name)!() };
}

it('lets two work, two wait in order, and refuses one more until there is room', async () => {
  const { begun, run, end } = setUp();
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(run);
  await expect(run('e')).rejects.toMatchObject({ code: 'server_full', received: expect.stringContaining('2 waiting') });
  expect(begun).toEqual(['a', 'b']);
  end('b');
  expect(await b).toBe('b');
  expect(begun).toEqual(['a', 'b', 'c']);
  const f = run('f');
  for (const name of ['a', 'c']) end(name);
  await Promise.all([a, c]);
  expect(begun).toEqual(['a', 'b', 'c', 'd', 'f']);
  for (const name of ['d', 'f']) end(name);
  expect(await Promise.all([d, f])).toEqual(['d', 'f']);
});

it('goes on after a task that fails, with the error for its owner', async () => {
  const { gate, run, end } = setUp();
  const a = run('a');
  const failing = gate.run(() => Promise.reject(new Error('broken')));
  const c = run('c');
  await expect(failing).rejects.toThrow('broken');
  for (const name of ['a', 'c']) end(name);
  expect(await Promise.all([a, c])).toEqual(['a', 'c']);
});

it('closes after what is in work; what waits and what comes later is refused at once', async () => {
  const { gate, begun, run, end } = setUp();
  const [a, b, c] = ['a', 'b', 'c'].map(run);
  let closed = false;
  const closing = gate.close().then(() => {
    closed = true;
  });
  await expect(c).rejects.toMatchObject({ code: 'server_closing' });
  await expect(run('d')).rejects.toMatchObject({ code: 'server_closing' });
  end('a');
  await a;
  expect(closed).toBe(false);
  end('b');
  await Promise.all([b, closing, gate.close()]);
  expect(begun).toEqual(['a', 'b']);
});
