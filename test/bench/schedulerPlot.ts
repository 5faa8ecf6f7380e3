import type { SimulationResult } from '../simulation/simulateScheduler.ts';

const WIDTH = 860;
const PANEL = 200;
const GAP = 34;
const [LEFT, RIGHT, TOP, BOTTOM] = [84, 150, 56, 56];

interface Series {
  name: string;
  colour: string;
  of: (row: SimulationResult) => number;
  /** of each avatar; default 1 */
  viewers?: number;
}

interface Panel {
  title: string;
  /** bounds of the logarithmic axis */
  low: number;
  high: number;
  series: readonly Series[];
}

const PANELS: readonly Panel[] = [
  {
    title: 'frames a second, all avatars',
    low: 100,
    high: 1_000_000,
    series: [
      { name: 'asked for', colour: '#b9c4d0', of: ({ avatars }) => 30 * avatars },
      { name: 'delivered', colour: '#0b6bcb', of: ({ framesPerSecond }) => framesPerSecond },
    ],
  },
  {
    title: 'motion to frame, ms',
    low: 1,
    high: 1000,
    series: [
      { name: 'p95', colour: '#d3480f', of: ({ latencyMs }) => latencyMs.p95 },
      { name: 'median', colour: '#0b6bcb', of: ({ latencyMs }) => latencyMs.p50 },
    ],
  },
  {
    title: "the scheduler's own cost, ms",
    low: 0.01,
    high: 100,
    series: [
      { name: 'a plan', colour: '#0b6bcb', of: ({ planMs }) => planMs },
      { name: 'a tick', colour: '#7a3fb3', of: ({ tickMs }) => tickMs },
    ],
  },
  {
    title: "the device's time for a delivered frame, ms",
    low: 0.0001,
    high: 1,
    series: [
      { name: '1 viewer each', colour: '#0b6bcb', of: deviceMsPerFrame },
      { name: '10 viewers', colour: '#7a3fb3', of: deviceMsPerFrame, viewers: 10 },
      { name: '100 viewers', colour: '#d3480f', of: deviceMsPerFrame, viewers: 100 },
    ],
  },
];

/** Throughput, latency and the scheduler's cost against the number of avatars, as SVG; all axes logarithmic. */
export function plotScheduler(all: readonly SimulationResult[], device: string): string {
  const rowsWith = (viewers: number) => all.filter(({ avatars, streams }) => streams === avatars * viewers);
  const rows = rowsWith(1);
  const least = rows[0]!.avatars;
  const most = rows.at(-1)!.avatars;
  const height = TOP + PANELS.length * (PANEL + GAP) - GAP + BOTTOM;
  const x = (avatars: number) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(avatars / least)) / Math.log(most / least);
  const parts = [text(LEFT, 26, `Scheduler on a simulated device: ${device}`, 'font-size="16" font-weight="600"')];
  for (const [index, panel] of PANELS.entries()) {
    const top = TOP + index * (PANEL + GAP);
    const { low, high } = panel;
    const y = (value: number) => top + PANEL - (PANEL * Math.log(Math.max(value, low) / low)) / Math.log(high / low);
    for (const { avatars } of rows) parts.push(line(x(avatars), x(avatars), top, top + PANEL));
    for (let value = low; value <= high * 1.01; value *= 10) {
      parts.push(line(LEFT, WIDTH - RIGHT, y(value), y(value)));
      parts.push(text(LEFT - 8, y(value) + 4, `${Number(value.toPrecision(2))}`, 'text-anchor="end"'));
    }
    parts.push(text(LEFT, top - 8, panel.title, 'font-weight="600"'));
    for (const [order, { name, colour, of, viewers = 1 }] of panel.series.entries()) {
      const points = rowsWith(viewers).map((row) => `${x(row.avatars).toFixed(1)},${y(of(row)).toFixed(1)}`);
      parts.push(`<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="2.5"/>`);
      parts.push(text(WIDTH - RIGHT + 12, top + 14 + 20 * order, name, `fill="${colour}"`));
    }
  }
  const foot = height - BOTTOM;
  for (const { avatars } of rows) parts.push(text(x(avatars), foot + 18, String(avatars), 'text-anchor="middle"'));
  parts.push(
    text(
      (LEFT + WIDTH - RIGHT) / 2,
      foot + 40,
      'avatars, at 30 frames/s, one viewer each unless said otherwise',
      'text-anchor="middle"',
    ),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#20262e">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}

function deviceMsPerFrame({ deviceBusy, framesPerSecond }: SimulationResult): number {
  return (1000 * deviceBusy) / framesPerSecond;
}

function text(x: number, y: number, words: string, more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${words}</text>`;
}

function line(x1: number, x2: number, y1: number, y2: number): string {
  const [a, b, c, d] = [x1, x2, y1, y2].map((value) => value.toFixed(1));
  return `<line x1="${a}" x2="${b}" y1="${c}" y2="${d}" stroke="#e3e6ea"/>`;
}
