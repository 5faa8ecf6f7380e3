import { expect, test } from 'vitest';
import { LoadControl, type LoadReport } from './LoadControl.ts';

/** A second after another, in each of which these sizes are asked for and two of three turns are missed. */
function overload(control: LoadControl, sizes: readonly number[], seconds: number, fromMs: number): LoadReport {
  let report: LoadReport | undefined;
  for (let second = 1; second <= seconds; second++) {
    for (const size of sizes) control.sizeOf(size);
    control.drew(1000);
    report = control.look(fromMs + 1000 * second, () => ({ turns: 300, missed: 200 }));
  }
  return report!;
}

const load = () =>
  new LoadControl({
    sizes: [128, 256, 512],
    budget: { msPerPicture: () => undefined },
    startMs: 0,
    reduceSizes: true,
  });

test('pictures of all sizes become smaller under lasting overload, as far as any of them can', () => {
  const control = load();
  expect(overload(control, [128, 256], 30, 0)).toMatchObject({ steps: 1, busy: 1 });
  expect([128, 256, 512].map((size) => control.sizeOf(size))).toEqual([128, 128, 256]);
});

test('nothing is reduced, and none told of, where everybody asks for the smallest size', () => {
  const control = load();
  expect(overload(control, [128], 30, 0)).toMatchObject({ steps: 0 });
  expect(control.sizeOf(512)).toBe(512);
  // who asks for more while the overload lasts is drawn smaller at once
  expect(overload(control, [128, 512], 1, 30_000)).toMatchObject({ steps: 1, changed: true });
  expect(control.sizeOf(512)).toBe(256);
});

test('a reduction is not told of once those have left who asked for larger pictures', () => {
  const control = load();
  expect(overload(control, [256], 3, 0)).toMatchObject({ steps: 1 });
  expect(overload(control, [128], 3, 3000)).toMatchObject({ steps: 0 });
});
