import type { Metrics } from '../contracts.ts';
import { Histogram, type HistogramSnapshot } from './Histogram.ts';

export interface MetricsSnapshot {
  counters: Record<string, number>;
  gauges: Record<string, number>;
  histograms: Record<string, HistogramSnapshot>;
}

/** Values that somebody else keeps, by metric name; names that end in `_total` are counters, the others gauges. */
export type MetricsSource = () => Readonly<Record<string, number>>;

const NAME = /^[a-z][a-z0-9_]*$/;

/** All counters, gauges and histograms of one server; names come into being when first used. */
export class MetricsRegistry implements Metrics {
  readonly prefix: string;
  #counters = new Map<string, number>();
  #gauges = new Map<string, number>();
  #histograms = new Map<string, Histogram>();
  readonly #sources: MetricsSource[] = [];

  constructor(prefix = 'facewire_') {
    this.prefix = prefix;
  }

  /** Throws TypeError when the name is not snake_case or names another kind of metric, RangeError on a negative step. */
  count(name: string, by = 1): void {
    if (!(by >= 0)) throw new RangeError(`a counter only rises: ${name} received ${by}`);
    const known = this.#counters.get(name);
    if (known === undefined) this.#claim(name);
    this.#counters.set(name, (known ?? 0) + by);
  }

  /** Throws TypeError like count(). */
  gauge(name: string, value: number): void {
    if (!this.#gauges.has(name)) this.#claim(name);
    this.#gauges.set(name, value);
  }

  /** Throws TypeError like count(). */
  observe(name: string, value: number): void {
    let histogram = this.#histograms.get(name);
    if (!histogram) {
      this.#claim(name);
      histogram = new Histogram();
      this.#histograms.set(name, histogram);
    }
    histogram.observe(value);
  }

  /** Reads these values whenever the metrics are asked for; their names must not be used otherwise. */
  addSource(source: MetricsSource): void {
    this.#sources.push(source);
  }

  snapshot(): MetricsSnapshot {
    const read = this.#read();
    return {
      counters: Object.fromEntries([...this.#counters, ...read.filter(isCounter)]),
      gauges: Object.fromEntries([...this.#gauges, ...read.filter((each) => !isCounter(each))]),
      histograms: Object.fromEntries([...this.#histograms].map(([name, histogram]) => [name, histogram.snapshot()])),
    };
  }

  /** Text exposition format 0.0.4, for GET /metrics. */
  prometheusText(): string {
    const lines: string[] = [];
    for (const each of this.#read())
      lines.push(...single(this.prefix + each[0], isCounter(each) ? 'counter' : 'gauge', each[1]));
    for (const [name, value] of this.#counters) lines.push(...single(this.prefix + name, 'counter', value));
    for (const [name, value] of this.#gauges) lines.push(...single(this.prefix + name, 'gauge', value));
    for (const [name, histogram] of this.#histograms) {
      const full = this.prefix + name;
      lines.push(`# TYPE ${full} histogram`);
      let cumulative = 0;
      histogram.bounds.forEach((bound, index) => {
        cumulative += histogram.counts[index]!;
        lines.push(`${full}_bucket{le="${bound}"} ${cumulative}`);
      });
      lines.push(`${full}_bucket{le="+Inf"} ${histogram.count}`);
      lines.push(`${full}_sum ${number(histogram.sum)}`, `${full}_count ${histogram.count}`);
    }
    return `${lines.join('\n')}\n`;
  }

  /** Forgets everything but the sources: benches do this after their warm-up. */
  reset(): void {
    this.#counters.clear();
    this.#gauges.clear();
    this.#histograms.clear();
  }

  #read(): [string, number][] {
    const read = this.#sources.flatMap((source) => Object.entries(source()));
    for (const [name] of read) {
      if (!NAME.test(name)) throw new TypeError(`metric names are snake_case, received '${name}'`);
    }
    return read;
  }

  #claim(name: string): void {
    if (!NAME.test(name)) throw new TypeError(`metric names are snake_case, received '${name}'`);
    if (this.#counters.has(name) || this.#gauges.has(name) || this.#histograms.has(name)) {
      throw new TypeError(`metric '${name}' is already of another kind`);
    }
  }
}

function isCounter([name]: [string, number]): boolean {
  return name.endsWith('_total');
}

function single(name: string, kind: 'counter' | 'gauge', value: number): string[] {
  return [`# TYPE ${name} ${kind}`, `${name} ${number(value)}`];
}

/** Prometheus spells the values that are not numbers differently from JavaScript. */
function number(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value);
}
