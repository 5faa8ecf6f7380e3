import { describe, expect, it } from 'vitest';
import { plotPanels } from './bench/panelPlot.ts';
import { rowOf } from './bench/scaling.ts';
import { plotScaling } from './bench/scalingPlot.ts';
import { parseMetrics, windowsFrom } from './bench/serverTrial.ts';

const report = {
  seconds: 3.6,
  frames: 864,
  framesPerSecond: 240,
  picturesPerSecond: 60,
  encodesPerSecond: 60,
  meanBatch: 1.234567,
  perFrame: { renderMs: 1.23456, encodeMs: 0.2, cpuMs: undefined },
  reduced: false,
};

describe('bench scaling', () => {
  it('tells how many pictures were drawn and encoded for a frame: a quarter where four viewers share', () => {
    const row = rowOf({ avatars: 2, viewers: 4, views: 'same' }, report);
    expect(row).toEqual({
      avatars: 2,
      viewers: 4,
      views: 'same',
      seconds: 3.6,
      framesPerSecond: 240,
      picturesPerFrame: 0.25,
      encodesPerFrame: 0.25,
      meanBatch: 1.23,
      renderMsPerFrame: 1.235,
      encodeMsPerFrame: 0.2,
      reduced: false,
    });
  });

  it('draws every row that was measured, also where the system tells no processor time', () => {
    const rows = [1, 2, 4].map((viewers) => rowOf({ avatars: 2, viewers, views: 'same' }, report));
    const svg = plotScaling({
      model: 'm',
      device: 'cpu',
      size: 128,
      machine: 'A & B <x>',
      cores: 2,
      date: '2026-01-01',
      avatars: rows.map((row) => ({ ...row, avatars: row.viewers, viewers: 1 })),
      viewers: rows,
      viewersApart: rows.slice(0, 2),
    });
    expect(svg).toContain('A &amp; B &lt;x&gt;');
    expect(svg).not.toContain('NaN');
    expect(svg.match(/<polyline points="[\d. ,]+"/g)!.length).toBeGreaterThanOrEqual(8);
  });
});

describe('bench scaling on a device in software', () => {
  it('tells frames that take half a minute, and its plot reaches up to them', () => {
    const perFrame = { renderMs: 27_963.1, encodeMs: 0.4, cpuMs: 33_000 };
    const row = rowOf({ avatars: 1, viewers: 1, views: 'same' }, { ...report, framesPerSecond: 0.0358, perFrame });
    expect(row).toMatchObject({ framesPerSecond: 0.0358, renderMsPerFrame: 27_963.1 });
    const svg = plotScaling({
      model: 'm',
      device: 'webgpu',
      size: 128,
      machine: 'x',
      cores: 2,
      date: '2026-01-01',
      avatars: [row],
      viewers: [row],
      viewersApart: [],
    });
    expect(svg).toContain('>100000</text>');
    expect(svg).toContain('leaves the server, one avatar<');
    expect(svg).not.toContain('NaN');
  });

  it('measures over longer and longer times, ten minutes at most', () => {
    expect(windowsFrom(4)).toEqual([4, 20, 100, 500]);
    expect(windowsFrom(100)).toEqual([100, 500]);
    expect(windowsFrom(150)).toEqual([150, 600]);
    expect(windowsFrom(900)).toEqual([900]);
  });
});

describe('plotPanels', () => {
  it('keeps points inside their panel and one tick is enough', () => {
    const series = [{ name: 's', colour: 'red', points: [[1, 1e9] as const] }];
    const svg = plotPanels('t', [{ title: 'p', low: 1, high: 10, ticks: [1], axis: 'x', series }]);
    expect(svg).toContain('points="84.0,56.0"');
  });
});

describe('parseMetrics', () => {
  it('reads counters and sums, and leaves buckets and comments', () => {
    const text = '# TYPE a_total counter\na_total 12\nb_ms_bucket{le="1"} 3\nb_ms_sum 4.5\n';
    expect([...parseMetrics(text)]).toEqual([
      ['a_total', 12],
      ['b_ms_sum', 4.5],
    ]);
  });
});
