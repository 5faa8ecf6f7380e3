import { expect, it } from 'vitest';
import { RecordingGate } from './RecordingGate.ts';

/** What is inside, in the order it came in, and how to end it. */
function opened() {
  const gate = new RecordingGate();
  const inside = new Map<string, () => void>();
  const enter = (name: string, alone: boolean) =>
    gate.enter(alone, (leave) =>
      inside.set(name, () => {
        inside.delete(name);
        leave();
      }),
    );
  return {
    gate,
    work: (name: string) => enter(name, false),
    record: (name: string) => enter(name, true),
    end: (name: string) => inside.get(name)!(),
    inside: () => [...inside.keys()],
  };
}

it('a recording waits for the work before it, and the work after it waits for that, in order', () => {
  const { work, record, end, inside } = opened();
  work('a');
  work('b');
  record('r');
  work('c');
  record('s');
  work('d');
  expect(inside()).toEqual(['a', 'b']);
  end('a');
  expect(inside()).toEqual(['b']);
  end('b');
  expect(inside()).toEqual(['r']);
  end('r');
  expect(inside()).toEqual(['c']);
  end('c');
  expect(inside()).toEqual(['s']);
  end('s');
  expect(inside()).toEqual(['d']);
});

it('leaving twice lets nobody in twice', () => {
  const gate = new RecordingGate();
  let leaveFirst = () => {};
  let recorded = false;
  gate.enter(false, (leave) => {
    leaveFirst = leave;
  });
  gate.enter(false, () => undefined);
  gate.enter(true, () => {
    recorded = true;
  });
  leaveFirst();
  leaveFirst();
  expect(recorded).toBe(false);
});

it('does not keep a recording waiting for a task that does not come back, whose result counts all the same', async () => {
  const { gate, record, inside } = opened();
  let comeBack = (_: string) => {};
  const lost = gate.share(() => new Promise<string>((resolve) => (comeBack = resolve)), 20);
  record('r');
  expect(inside()).toEqual([]);
  await expect.poll(inside).toEqual(['r']);
  comeBack('late');
  expect(await lost).toBe('late');
  record('s');
  expect(inside()).toEqual(['r']);
});

it('passes on what a task returns or throws, and goes on', async () => {
  const { gate, record, end, inside } = opened();
  record('r');
  const results = Promise.allSettled([gate.share(async () => 1), gate.share(() => Promise.reject(new Error('no')))]);
  end('r');
  expect(await results).toEqual([
    { status: 'fulfilled', value: 1 },
    { status: 'rejected', reason: new Error('no') },
  ]);
  record('s');
  expect(inside()).toEqual(['s']);
});
