import type { RenderBudget } from './RenderBudget.ts';
import { reducedSize, SizeReduction } from './SizeReduction.ts';
import type { TurnCount } from './StreamBook.ts';

/** The load is judged over windows of so long. */
const WINDOW_MS = 1000;

export interface LoadControlOptions {
  /** of the renderer, ascending */
  sizes: readonly number[];
  budget: Pick<RenderBudget, 'msPerPicture'>;
  startMs: number;
  /** false: sizes are never reduced */
  reduceSizes: boolean;
}

/** What one window was like, and what followed. */
export interface LoadReport extends TurnCount {
  /** share of the time in which the device drew */
  busy: number;
  /** the largest pictures that are asked for are drawn so many sizes smaller */
  steps: number;
  changed: boolean;
}

/** Watches how busy the device is and which turns are missed, and decides at which sizes everybody is drawn. */
export class LoadControl {
  readonly #options: LoadControlOptions;
  readonly #reduction: SizeReduction;
  #startMs: number;
  #drawnMs = 0;
  /** of the sizes asked for in this window; 0: none was */
  #largest = 0;

  constructor(options: LoadControlOptions) {
    this.#options = options;
    this.#reduction = new SizeReduction(options.reduceSizes ? options.sizes.length : 1);
    this.#startMs = options.startMs;
  }

  sizeOf(asked: number): number {
    if (asked > this.#largest) this.#largest = asked;
    return reducedSize(asked, this.#reduction.steps, this.#options.sizes);
  }

  /** All of the device drew for so long, or a part of it for longer. */
  drew(ms: number): void {
    this.#drawnMs += ms;
  }

  /** Once per window a report, otherwise undefined. */
  look(nowMs: number, takeTurnCount: () => TurnCount): LoadReport | undefined {
    const windowMs = nowMs - this.#startMs;
    if (windowMs < WINDOW_MS) return undefined;
    const { turns, missed } = takeTurnCount();
    const busy = Math.min(1, this.#drawnMs / windowMs);
    this.#startMs = nowMs;
    this.#drawnMs = 0;
    const before = this.#reduction.steps;
    const possible = Math.max(0, this.#options.sizes.indexOf(this.#largest));
    this.#largest = 0;
    const load = { turns, missed, busy, growth: this.#growth(before), shrinks: before < possible };
    const steps = this.#reduction.judge(load);
    return { turns, missed, busy, steps: Math.min(steps, possible), changed: steps !== before };
  }

  /** Of the dearest size, by what its pictures cost where that was measured, else by its area. */
  #growth(steps: number): number {
    if (steps === 0) return 1;
    const { sizes, budget } = this.#options;
    const growths = sizes.slice(steps).map((asked) => {
      const [now, next] = [reducedSize(asked, steps, sizes), reducedSize(asked, steps - 1, sizes)];
      const [nowMs, nextMs] = [budget.msPerPicture(now), budget.msPerPicture(next)];
      return nowMs !== undefined && nextMs !== undefined ? nextMs / nowMs : (next / now) ** 2;
    });
    return Math.max(1, ...growths);
  }
}
