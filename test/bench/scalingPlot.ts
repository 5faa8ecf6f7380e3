import { type Panel, plotPanels, type Series } from './panelPlot.ts';
import type { ScalingRow } from './scaling.ts';

export interface ScalingFigures {
  model: string;
  device: string;
  size: number;
  machine: string | undefined;
  cores: number;
  date: string;
  avatars: readonly ScalingRow[];
  viewers: readonly ScalingRow[];
  viewersApart: readonly ScalingRow[];
}

const [BLUE, PURPLE, ORANGE, GREY] = ['#0b6bcb', '#7a3fb3', '#d3480f', '#8a97a5'];

/** The upper end of the axis of ms: 100, or the power of ten that holds a slow device's. */
function highest(rows: readonly ScalingRow[]): number {
  const most = Math.max(
    100,
    ...rows.map(({ renderMsPerFrame, cpuMsPerFrame = 0 }) => Math.max(renderMsPerFrame, cpuMsPerFrame)),
  );
  return 10 ** Math.ceil(Math.log10(most));
}

/** The cost of a frame against avatars and viewers, as SVG; all axes logarithmic. */
export function plotScaling(figures: ScalingFigures): string {
  const { avatars, viewers, viewersApart } = figures;
  const count = viewers[0]?.avatars ?? 0;
  const watched = count === 1 ? 'one avatar' : `${count} avatars`;
  const curve = (
    rows: readonly ScalingRow[],
    x: 'avatars' | 'viewers',
    name: string,
    colour: string | undefined,
    of: (row: ScalingRow) => number | undefined,
    dashed = false,
  ): Series => ({
    name,
    colour: colour!,
    dashed,
    points: rows.flatMap((row) => {
      const value = of(row);
      return value === undefined ? [] : [[row[x], value] as const];
    }),
  });
  const ticksOf = (rows: readonly ScalingRow[], x: 'avatars' | 'viewers') =>
    [...new Set(rows.map((row) => row[x]))].sort((a, b) => a - b);
  const cost = (rows: readonly ScalingRow[], x: 'avatars' | 'viewers') => [
    curve(rows, x, 'server, processor', ORANGE, ({ cpuMsPerFrame }) => cpuMsPerFrame),
    curve(rows, x, 'drawing', BLUE, ({ renderMsPerFrame }) => renderMsPerFrame),
    curve(rows, x, 'encoding', PURPLE, ({ encodeMsPerFrame }) => encodeMsPerFrame),
  ];
  const viewerTicks = ticksOf([...viewers, ...viewersApart], 'viewers');
  const panels: Panel[] = [
    {
      title: 'ms for a frame that leaves the server, one viewer of all avatars',
      low: 0.1,
      high: highest(avatars),
      ticks: ticksOf(avatars, 'avatars'),
      axis: 'avatars',
      series: cost(avatars, 'avatars'),
    },
    {
      title: `ms for a frame that leaves the server, ${watched}`,
      low: 0.01,
      high: highest([...viewers, ...viewersApart]),
      ticks: viewerTicks,
      series: [
        ...cost(viewers, 'viewers'),
        curve(viewersApart, 'viewers', 'processor, each his view', ORANGE, ({ cpuMsPerFrame }) => cpuMsPerFrame, true),
        curve(
          viewersApart,
          'viewers',
          'drawing, each his view',
          BLUE,
          ({ renderMsPerFrame }) => renderMsPerFrame,
          true,
        ),
      ],
    },
    {
      title: `pictures drawn and encoded for a frame that leaves the server, ${watched}`,
      low: 0.01,
      high: 10,
      ticks: viewerTicks,
      axis: 'viewers, each of all avatars',
      series: [
        curve(viewersApart, 'viewers', 'drawn, each his view', GREY, ({ picturesPerFrame }) => picturesPerFrame, true),
        curve(viewers, 'viewers', 'drawn, one view', BLUE, ({ picturesPerFrame }) => picturesPerFrame),
        curve(viewers, 'viewers', 'encoded, one view', PURPLE, ({ encodesPerFrame }) => encodesPerFrame, true),
      ],
    },
  ];
  const { model, device, size, machine, cores, date } = figures;
  return plotPanels(`Cost of a frame: ${model}, ${device}, ${size}², ${machine ?? ''} × ${cores}, ${date}`, panels);
}
