import { expect, test } from 'vitest';
import { Pipeline } from './Pipeline.ts';

test('one batch is drawn while another is encoded, and a third waits for the encoders', () => {
  const pipeline = new Pipeline();
  const first = pipeline.begin(2);
  expect(pipeline.hasRoom(1, 0)).toBe(false);
  first.drawn(10);
  expect(pipeline.hasRoom(1, 10)).toBe(true);
  const second = pipeline.begin(1);
  second.drawn(20);
  expect(pipeline.hasRoom(1, 20)).toBe(false);
  first.encoded();
  expect(pipeline.hasRoom(1, 20)).toBe(false);
  first.encoded();
  expect(pipeline.hasRoom(1, 20)).toBe(true);
});

test('with two renders in flight one more batch may be on its way', () => {
  const pipeline = new Pipeline();
  pipeline.begin(1);
  expect(pipeline.hasRoom(2, 0)).toBe(true);
  const second = pipeline.begin(1);
  expect(pipeline.hasRoom(2, 0)).toBe(false);
  second.drawn(5);
  expect(pipeline.hasRoom(2, 5)).toBe(true);
});

test('an encode that never ends holds others for a moment only', () => {
  const pipeline = new Pipeline();
  pipeline.begin(1).drawn(0);
  pipeline.begin(1).drawn(1);
  expect(pipeline.hasRoom(1, 50)).toBe(false);
  expect(pipeline.hasRoom(1, 100)).toBe(true);
});

test('a batch whose encodes end before it is called drawn is gone when it is', () => {
  const pipeline = new Pipeline();
  const batch = pipeline.begin(1);
  batch.encoded();
  expect(pipeline.hasRoom(1, 0)).toBe(false);
  batch.drawn(1);
  pipeline.begin(1).drawn(1);
  expect(pipeline.hasRoom(1, 1)).toBe(true);
});

test('what is due is spread over the lanes that draw nothing, where each has a processor of its own', () => {
  const pipeline = new Pipeline();
  const [cpu, gpu] = [
    { count: 3, apart: true },
    { count: 3, apart: false },
  ];
  expect(pipeline.lanesFor(cpu)).toBe(3);
  const first = pipeline.begin(1);
  pipeline.begin(1);
  expect(pipeline.lanesFor(cpu)).toBe(1);
  // Encoding takes no lane.
  first.drawn(5);
  expect(pipeline.lanesFor(cpu)).toBe(2);
  expect(pipeline.lanesFor(gpu)).toBe(1);
});
