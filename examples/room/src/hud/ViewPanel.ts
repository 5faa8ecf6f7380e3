import type { View } from '@facewire/proto';
import { degrees, make, makeSlider } from './dom.ts';

/** Chooses the view of all screens: it follows the visitor, or the sliders. */
export class ViewPanel {
  readonly element: HTMLElement;
  readonly #follow = make('input', { type: 'checkbox', id: 'follow', checked: '' });
  readonly #view: View = { yaw: 0, pitch: 0 };
  readonly #onChange: (view: View | 'follow') => void;

  constructor(onChange: (view: View | 'follow') => void) {
    this.#onChange = onChange;
    this.#follow.addEventListener('change', () => this.#changed());
    const yaw = makeSlider('Turn', { min: -0.6, max: 0.6, step: 0.01, value: 0 }, degrees, (value) => {
      this.#byHand({ yaw: value });
    });
    const pitch = makeSlider('Tilt', { min: -0.35, max: 0.35, step: 0.01, value: 0 }, degrees, (value) => {
      this.#byHand({ pitch: value });
    });
    yaw.input.id = 'view-yaw';
    pitch.input.id = 'view-pitch';
    this.element = make(
      'section',
      { class: 'panel view' },
      make('h2', {}, 'Free view'),
      make('label', { class: 'switch' }, this.#follow, make('b', {}), make('span', {}, 'Faces follow where I stand')),
      yaw.row,
      pitch.row,
    );
  }

  #byHand(change: Partial<View>): void {
    Object.assign(this.#view, change);
    this.#follow.checked = false;
    this.#changed();
  }

  #changed(): void {
    this.element.classList.toggle('by-hand', !this.#follow.checked);
    this.#onChange(this.#follow.checked ? 'follow' : { ...this.#view });
  }
}
