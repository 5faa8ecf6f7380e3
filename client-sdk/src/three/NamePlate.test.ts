import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { NamePlate } from './NamePlate.ts';

let written: string[];

beforeEach(() => {
  written = [];
  const context = {
    measureText: (text: string) => ({ width: text.length * 20 }),
    fillText: (text: string) => written.push(text),
    beginPath() {},
    roundRect() {},
    fill() {},
    arc() {},
  };
  // Node has no canvas.
  vi.stubGlobal('document', { createElement: () => ({ width: 300, height: 150, getContext: () => context }) });
});

afterEach(() => {
  vi.unstubAllGlobals();
});

it('a name plate is as wide as its name, an empty one too', () => {
  const plate = new NamePlate('', { height: 0.2 });
  expect(plate.material.map, 'a plate, not a white square').not.toBeNull();
  expect(plate.scale.y).toBe(0.2);
  const empty = plate.scale.x;
  expect(empty).toBeLessThan(0.4);
  plate.text = 'Ada';
  expect(plate.scale.x).toBeGreaterThan(empty);
  plate.text = 'Ada';
  plate.text = '';
  expect(plate.scale.x).toBe(empty);
  expect(written, 'drawn only when it changes').toEqual(['', 'Ada', '']);
  plate.dispose();
});
