import type { StreamStats } from '@facewire/client-sdk';
import { formatBitrate, make } from './dom.ts';

export interface StreamRow {
  id: string;
  name: string;
  bot: boolean;
  stats: StreamStats;
}

export interface Totals {
  /** rendered by this page, per second */
  framesPerSecond: number;
  /** bits per second */
  down: number;
  up: number;
  /** size of the newest motion packet sent, bytes; undefined while this page publishes nothing */
  packetBytes: number | undefined;
  roundTripMs: number | undefined;
  codec: string | undefined;
}

/** The table of streams with its totals. */
export class StatsPanel {
  readonly element: HTMLDetailsElement;
  readonly #rows = make('tbody');
  readonly #totals = make('dl', { class: 'totals' });

  constructor() {
    const head = make('tr', {}, ...['Player', 'fps', 'Latency', 'Rate', 'Size'].map((text) => make('th', {}, text)));
    this.element = make(
      'details',
      { class: 'panel stats', open: '' },
      make('summary', {}, 'Streams'),
      make('table', {}, make('thead', {}, head), this.#rows),
      this.#totals,
    );
  }

  update(rows: readonly StreamRow[], totals: Totals): void {
    this.#rows.replaceChildren(...rows.map(toRow));
    const entries: [string, string][] = [
      ['Down', formatBitrate(totals.down)],
      ['Up', totals.packetBytes === undefined ? 'watching' : formatBitrate(totals.up)],
      ['Packet', totals.packetBytes === undefined ? '–' : `${totals.packetBytes} B`],
      ['Ping', totals.roundTripMs === undefined ? '–' : `${totals.roundTripMs.toFixed(0)} ms`],
      ['Codec', totals.codec?.toUpperCase() ?? '–'],
      ['Display', `${totals.framesPerSecond.toFixed(0)} fps`],
    ];
    this.#totals.replaceChildren(
      ...entries.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))),
    );
  }
}

function toRow({ id, name, bot, stats }: StreamRow): HTMLElement {
  const { framesPerSecond, latencyMs, bitrate, size } = stats;
  const dot = make('i', { class: framesPerSecond > 0.5 ? (bot ? 'dot' : 'dot person') : 'dot off' });
  return make(
    'tr',
    { 'data-participant': id },
    make('td', {}, dot, name),
    make('td', {}, framesPerSecond.toFixed(0)),
    make(
      'td',
      {},
      latencyMs ? latencyMs.p50.toFixed(0) : '–',
      make('small', {}, latencyMs ? ` / ${latencyMs.p95.toFixed(0)} ms` : ''),
    ),
    make('td', {}, formatBitrate(bitrate)),
    make('td', {}, size ? `${size}²` : '–'),
  );
}
