/** Makes an element: `make('div', { class: 'panel' }, 'text', child)`. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export interface Slider {
  row: HTMLElement;
  input: HTMLInputElement;
}

/** A labelled slider that shows its value. */
export function makeSlider(
  label: string,
  range: { min: number; max: number; step: number; value: number },
  format: (value: number) => string,
  onInput: (value: number) => void,
): Slider {
  const input = make('input', {
    type: 'range',
    min: String(range.min),
    max: String(range.max),
    step: String(range.step),
    value: String(range.value),
    'aria-label': label,
  });
  const output = make('output', {}, format(range.value));
  const fill = (): void => {
    const share = (input.valueAsNumber - range.min) / (range.max - range.min);
    input.style.setProperty('--share', `${share * 100}%`);
  };
  input.addEventListener('input', () => {
    output.textContent = format(input.valueAsNumber);
    fill();
    onInput(input.valueAsNumber);
  });
  fill();
  return { row: make('label', { class: 'slider' }, make('span', {}, label), input, output), input };
}

export const degrees = (radians: number): string => `${Math.round((radians * 180) / Math.PI)}°`;

/** 12 345 bits per second → "12.3 kbit/s" */
export function formatBitrate(bitsPerSecond: number): string {
  return bitsPerSecond >= 1e6
    ? `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`
    : `${(bitsPerSecond / 1e3).toFixed(bitsPerSecond < 1e4 ? 1 : 0)} kbit/s`;
}
