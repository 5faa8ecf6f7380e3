import { EXPRESSION_INDEX, type ExpressionName, type Motion, neutralMotion } from '@facewire/proto';
import { degrees, make, makeSlider } from '../hud/dom.ts';

const percent = (value: number): string => `${Math.round(value * 100)}%`;

/** name, coefficients that move together, largest value */
const FACE: readonly (readonly [string, readonly ExpressionName[], number])[] = [
  ['Jaw', ['jawOpen'], 1],
  ['Smile', ['mouthSmileLeft', 'mouthSmileRight'], 1],
  ['Blink', ['eyeBlinkLeft', 'eyeBlinkRight'], 1],
  ['Brows', ['browInnerUp', 'browOuterUpLeft', 'browOuterUpRight'], 1],
  ['Pucker', ['mouthPucker'], 1],
];

/** A face moved by hand. */
export class FaceSliders {
  readonly element: HTMLElement;
  readonly #motion: Motion = neutralMotion();

  constructor() {
    const head = (['yaw', 'pitch', 'roll'] as const).map((axis) => {
      const label = { yaw: 'Head turn', pitch: 'Head nod', roll: 'Head tilt' }[axis];
      return makeSlider(label, { min: -0.5, max: 0.5, step: 0.01, value: 0 }, degrees, (value) => {
        this.#motion.pose[axis] = value;
      }).row;
    });
    const face = FACE.map(([label, names, max]) => {
      const { row } = makeSlider(label, { min: 0, max, step: 0.01, value: 0 }, percent, (value) => {
        for (const name of names) this.#motion.expression[EXPRESSION_INDEX[name]] = value;
      });
      return row;
    });
    this.element = make('div', { class: 'sliders' }, ...face, ...head);
  }

  /** a copy: it may wait to be sent while the sliders move on */
  get motion(): Motion {
    return { pose: { ...this.#motion.pose }, expression: this.#motion.expression.slice() };
  }
}
