import { expect, test } from 'vitest';
import { quantile } from './Histogram.ts';
import { MetricsRegistry } from './MetricsRegistry.ts';

test('counters rise, gauges hold the last value, histograms give exact quantiles', () => {
  const metrics = new MetricsRegistry();
  metrics.count('frames_total');
  metrics.count('frames_total', 4);
  metrics.gauge('streams', 7);
  metrics.gauge('streams', 3);
  for (let value = 100; value >= 1; value--) metrics.observe('render_ms', value);
  const { counters, gauges, histograms } = metrics.snapshot();
  expect(counters).toEqual({ frames_total: 5 });
  expect(gauges).toEqual({ streams: 3 });
  expect(histograms.render_ms).toEqual({ count: 100, sum: 5050, mean: 50.5, max: 100, p50: 50, p95: 95 });
});

test('quantiles follow the newest 2048 observations while count and sum keep all', () => {
  const metrics = new MetricsRegistry();
  for (let index = 0; index < 1000; index++) metrics.observe('render_ms', 900);
  for (let index = 0; index < 2048; index++) metrics.observe('render_ms', 5);
  const { render_ms } = metrics.snapshot().histograms;
  expect(render_ms).toMatchObject({ count: 3048, p50: 5, p95: 5, max: 900 });
});

test('the Prometheus text has cumulative buckets that end in the count', () => {
  const metrics = new MetricsRegistry();
  metrics.count('frames_total', 2);
  for (const value of [0.4, 0.5, 3, 99999]) metrics.observe('encode_ms', value);
  metrics.observe('encode_ms', Number.NaN);
  const lines = metrics.prometheusText().split('\n');
  expect(lines).toContain('# TYPE facewire_frames_total counter');
  expect(lines).toContain('facewire_frames_total 2');
  expect(lines).toContain('facewire_encode_ms_bucket{le="0.5"} 2');
  expect(lines).toContain('facewire_encode_ms_bucket{le="5"} 3');
  expect(lines).toContain('facewire_encode_ms_bucket{le="1000"} 3');
  expect(lines).toContain('facewire_encode_ms_bucket{le="+Inf"} 4');
  expect(lines).toContain('facewire_encode_ms_count 4');
});

test('a name that is not snake_case, or used for two kinds, is refused at once', () => {
  const metrics = new MetricsRegistry();
  expect(() => metrics.count('framesTotal')).toThrow(TypeError);
  metrics.count('frames_total');
  expect(() => metrics.gauge('frames_total', 1)).toThrow(/another kind/);
  expect(() => metrics.count('frames_total', -1)).toThrow(RangeError);
});

test('a quantile is one of the values, by nearest rank', () => {
  expect(quantile([], 0.5)).toBe(0);
  expect(quantile([7], 0.95)).toBe(7);
  expect(quantile([1, 2, 3, 4], 0.5)).toBe(2);
  expect(quantile([1, 2, 3, 4], 0.95)).toBe(4);
});

test('values that others keep are read anew at each request, counters by their name', () => {
  const metrics = new MetricsRegistry();
  let pictures = 3;
  metrics.addSource(() => ({ device_pictures_total: pictures, bank_avatars: 2 }));
  expect(metrics.snapshot()).toMatchObject({ counters: { device_pictures_total: 3 }, gauges: { bank_avatars: 2 } });
  pictures = 9;
  const lines = metrics.prometheusText().split('\n');
  expect(lines).toContain('# TYPE facewire_device_pictures_total counter');
  expect(lines).toContain('facewire_device_pictures_total 9');
  expect(lines).toContain('# TYPE facewire_bank_avatars gauge');
  metrics.addSource(() => ({ notSnakeCase: 1 }));
  expect(() => metrics.prometheusText()).toThrow(TypeError);
});
