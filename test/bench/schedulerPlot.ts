import type { SimulationResult } from '../simulation/simulateScheduler.ts';
import { type Panel, plotPanels, type Series } from './panelPlot.ts';

interface Curve {
  name: string;
  colour: string;
  of: (row: SimulationResult) => number;
  /** of each avatar; default 1 */
  viewers?: number;
}

const PANELS: readonly (Omit<Panel, 'series' | 'ticks'> & { curves: readonly Curve[] })[] = [
  {
    title: 'frames a second, all avatars',
    low: 100,
    high: 1_000_000,
    curves: [
      { name: 'asked for', colour: '#b9c4d0', of: ({ avatars }) => 30 * avatars },
      { name: 'delivered', colour: '#0b6bcb', of: ({ framesPerSecond }) => framesPerSecond },
    ],
  },
  {
    title: 'motion to frame, ms',
    low: 1,
    high: 1000,
    curves: [
      { name: 'p95', colour: '#d3480f', of: ({ latencyMs }) => latencyMs.p95 },
      { name: 'median', colour: '#0b6bcb', of: ({ latencyMs }) => latencyMs.p50 },
    ],
  },
  {
    title: "the scheduler's own cost, ms",
    low: 0.01,
    high: 100,
    curves: [
      { name: 'a plan', colour: '#0b6bcb', of: ({ planMs }) => planMs },
      { name: 'a tick', colour: '#7a3fb3', of: ({ tickMs }) => tickMs },
    ],
  },
  {
    title: "the device's time for a delivered frame, ms",
    low: 0.0001,
    high: 1,
    axis: 'avatars, at 30 frames/s, one viewer each unless said otherwise',
    curves: [
      { name: '1 viewer each', colour: '#0b6bcb', of: deviceMsPerFrame },
      { name: '10 viewers', colour: '#7a3fb3', of: deviceMsPerFrame, viewers: 10 },
      { name: '100 viewers', colour: '#d3480f', of: deviceMsPerFrame, viewers: 100 },
    ],
  },
];

/** Throughput, latency and the scheduler's cost against the number of avatars, as SVG; all axes logarithmic. */
export function plotScheduler(all: readonly SimulationResult[], device: string): string {
  const rowsWith = (viewers: number) => all.filter(({ avatars, streams }) => streams === avatars * viewers);
  const ticks = rowsWith(1).map(({ avatars }) => avatars);
  const panels = PANELS.map(({ curves, ...panel }): Panel => {
    const series = curves.map(({ name, colour, of, viewers = 1 }): Series => {
      return { name, colour, points: rowsWith(viewers).map((row) => [row.avatars, of(row)] as const) };
    });
    return { ...panel, ticks, series };
  });
  return plotPanels(`Scheduler on a simulated device: ${device}`, panels);
}

function deviceMsPerFrame({ deviceBusy, framesPerSecond }: SimulationResult): number {
  return (1000 * deviceBusy) / framesPerSecond;
}
