/** Curves in panels below each other, both axes logarithmic, as SVG. Shared by the benches that draw one. */
export interface Series {
  name: string;
  colour: string;
  /** x, y */
  points: readonly (readonly [number, number])[];
  dashed?: boolean;
}

export interface Panel {
  title: string;
  /** bounds of the vertical axis */
  low: number;
  high: number;
  /** ascending, where vertical lines stand: the axis reaches from the first to the last */
  ticks: readonly number[];
  /** under the axis; without it the panel shares the one below */
  axis?: string;
  series: readonly Series[];
}

const WIDTH = 860;
const PANEL = 200;
const GAP = 34;
const AXIS = 42;
const [LEFT, RIGHT, TOP, BOTTOM] = [84, 190, 56, 20];

/** @param title of the whole picture, one line */
export function plotPanels(title: string, panels: readonly Panel[]): string {
  const parts = [text(LEFT, 26, title, 'font-size="16" font-weight="600"')];
  let top = TOP;
  for (const panel of panels) {
    parts.push(...drawPanel(panel, top));
    top += PANEL + GAP + (panel.axis === undefined ? 0 : AXIS);
  }
  const height = top - GAP + BOTTOM;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#20262e">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}

function drawPanel({ title, low, high, ticks, axis, series }: Panel, top: number): string[] {
  const parts: string[] = [];
  const [first, last] = [ticks[0]!, ticks.at(-1)!];
  const across = Math.log(last / first) || 1;
  const x = (value: number) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(value / first)) / across;
  const y = (value: number) => {
    const inside = Math.min(high, Math.max(low, value));
    return top + PANEL - (PANEL * Math.log(inside / low)) / Math.log(high / low);
  };
  for (const tick of ticks) {
    parts.push(line(x(tick), x(tick), top, top + PANEL));
    if (axis !== undefined) parts.push(text(x(tick), top + PANEL + 18, String(tick), 'text-anchor="middle"'));
  }
  for (let value = low; value <= high * 1.01; value *= 10) {
    parts.push(line(LEFT, WIDTH - RIGHT, y(value), y(value)));
    parts.push(text(LEFT - 8, y(value) + 4, `${Number(value.toPrecision(2))}`, 'text-anchor="end"'));
  }
  parts.push(text(LEFT, top - 8, title, 'font-weight="600"'));
  for (const [order, { name, colour, points, dashed }] of series.entries()) {
    const path = points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    const dash = dashed ? ' stroke-dasharray="6 4"' : '';
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.5"${dash}/>`);
    parts.push(text(WIDTH - RIGHT + 12, top + 14 + 20 * order, name, `fill="${colour}"`));
  }
  if (axis !== undefined) {
    parts.push(text((LEFT + WIDTH - RIGHT) / 2, top + PANEL + 38, axis, 'text-anchor="middle"'));
  }
  return parts;
}

function text(x: number, y: number, words: string, more = ''): string {
  const safe = words.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${safe}</text>`;
}

function line(x1: number, x2: number, y1: number, y2: number): string {
  const [a, b, c, d] = [x1, x2, y1, y2].map((value) => value.toFixed(1));
  return `<line x1="${a}" x2="${b}" y1="${c}" y2="${d}" stroke="#e3e6ea"/>`;
}
