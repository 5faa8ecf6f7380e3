import type { Rung } from '@facewire/proto';

const WIDTH = 860;
const HEIGHT = 520;
const LEFT = 76;
const RIGHT = 24;
const TOP = 48;
const BOTTOM = 64;
const BYTES = [1, 160] as const;
const MM = [0.05, 6] as const;

/** Rate-distortion curve as SVG: bytes for each captured motion against mm, both logarithmic. */
export function plotRateDistortion(
  curve: readonly Rung[],
  grid: readonly Rung[],
  main: { meanBytes: number; vertexMm: { mouth: number; eyes: number; rest: number } },
): string {
  const x = (bytes: number): number =>
    LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(bytes / BYTES[0])) / Math.log(BYTES[1] / BYTES[0]);
  const y = (mm: number): number =>
    HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * Math.log(mm / MM[0])) / Math.log(MM[1] / MM[0]);
  const mm = (main.vertexMm.mouth + main.vertexMm.eyes + main.vertexMm.rest) / 3;
  const text = (at: number, row: number, words: string, more = ''): string =>
    `<text x="${at.toFixed(1)}" y="${row.toFixed(1)}" ${more}>${words}</text>`;
  const parts: string[] = [];
  for (const bytes of [1, 2, 5, 10, 20, 50, 100]) {
    parts.push(`<line x1="${x(bytes)}" x2="${x(bytes)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" stroke="#e3e6ea"/>`);
    parts.push(text(x(bytes), HEIGHT - BOTTOM + 18, String(bytes), 'text-anchor="middle"'));
  }
  for (const each of [0.05, 0.1, 0.2, 0.5, 1, 2, 5]) {
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(each)}" y2="${y(each)}" stroke="#e3e6ea"/>`);
    parts.push(text(LEFT - 8, y(each) + 4, String(each), 'text-anchor="end"'));
  }
  for (const { bytes, errorMm } of grid) {
    parts.push(`<circle cx="${x(bytes).toFixed(1)}" cy="${y(errorMm).toFixed(1)}" r="2" fill="#b9c4d0"/>`);
  }
  const line = curve.map(({ bytes, errorMm }) => `${x(bytes).toFixed(1)},${y(errorMm).toFixed(1)}`).join('L');
  parts.push(`<path d="M${line}" fill="none" stroke="#0b6bcb" stroke-width="2.5"/>`);
  for (const { bytes, errorMm } of curve) {
    parts.push(`<circle cx="${x(bytes).toFixed(1)}" cy="${y(errorMm).toFixed(1)}" r="3.5" fill="#0b6bcb"/>`);
  }
  parts.push(`<circle cx="${x(main.meanBytes)}" cy="${y(mm)}" r="6" fill="none" stroke="#d3480f" stroke-width="2.5"/>`);
  parts.push(
    text(x(main.meanBytes) + 12, y(mm) + 4, `default: ${main.meanBytes} B`, 'fill="#d3480f" font-weight="600"'),
  );
  // their distortion is that of their network, not of packets: no place on the axis of mm is claimed for them
  for (const [bytes, words] of [
    [84, '84 B'],
    [53, '53 B, adaptive'],
  ] as const) {
    const row = HEIGHT - BOTTOM - 14;
    parts.push(
      `<line x1="${x(bytes)}" x2="${x(bytes)}" y1="${TOP}" y2="${row}" stroke="#7a3fb3" stroke-dasharray="4 4"/>`,
    );
    parts.push(`<path d="M${x(bytes)} ${row - 7}l7 7l-7 7l-7 -7z" fill="#7a3fb3"/>`);
    parts.push(
      text(
        x(bytes) + (bytes > 60 ? 8 : -8),
        TOP + (bytes > 60 ? 14 : 32),
        words,
        `fill="#7a3fb3" text-anchor="${bytes > 60 ? 'start' : 'end'}"`,
      ),
    );
  }
  parts.push(text(x(53) - 8, TOP + 48, 'face-vid2vid (no mm published)', 'fill="#7a3fb3" text-anchor="end"'));
  parts.push(
    text(LEFT, 26, 'Compact motion: rate and distortion on the motion tracks', 'font-size="17" font-weight="600"'),
  );
  parts.push(
    text(
      (LEFT + WIDTH - RIGHT) / 2,
      HEIGHT - 18,
      'bytes for each captured motion (25–30 a second), everything included',
      'text-anchor="middle"',
    ),
  );
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  parts.push(
    text(
      22,
      middle,
      'mean vertex error, mm (mouth, eyes, rest)',
      `text-anchor="middle" transform="rotate(-90 22 ${middle})"`,
    ),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="#20262e">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
