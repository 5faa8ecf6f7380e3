export { DEFAULT_BUCKETS, Histogram, type HistogramSnapshot, quantile } from './Histogram.ts';
export { MetricsRegistry, type MetricsSnapshot, type MetricsSource } from './MetricsRegistry.ts';
