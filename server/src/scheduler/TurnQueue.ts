/** What decides whose turn it is. */
export interface Turn {
  /** server clock at which its frame should have been begun: when it was due, and a turn of its rate later */
  deadlineMs: number;
  /** server clock at which it was served: mean, each time counting as much as all before it */
  servedAtMs: number;
  /** decides between equals, so that plans can be repeated */
  order: number;
}

/** Earliest deadline first; of equal ones, who was served least recently. */
export function comesBefore(a: Turn, b: Turn): boolean {
  if (a.deadlineMs !== b.deadlineMs) return a.deadlineMs < b.deadlineMs;
  if (a.servedAtMs !== b.servedAtMs) return a.servedAtMs < b.servedAtMs;
  return a.order < b.order;
}

/**
 * A binary heap of turns. Making one of n turns costs n steps and taking the first log n, so that of ten thousand
 * waiting subjects only those are sorted that a batch has room for.
 */
export class TurnQueue<T extends Turn> {
  readonly #heap: T[];

  /** @param turns becomes the queue's own */
  constructor(turns: T[]) {
    this.#heap = turns;
    for (let at = (turns.length >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  get first(): T | undefined {
    return this.#heap[0];
  }

  put(turn: T): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(turn);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!comesBefore(turn, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = turn;
  }

  take(): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (heap.length === 0 || last === undefined) return first;
    heap[0] = last;
    this.#sink(0);
    return first;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const turn = heap[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && comesBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!comesBefore(heap[child]!, turn)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = turn;
  }
}
