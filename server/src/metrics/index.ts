export { DEFAULT_BUCKETS, Histogram, type HistogramSnapshot, quantile } from './Histogram.ts';
export { MetricsRegistry, type MetricsSnapshot } from './MetricsRegistry.ts';
