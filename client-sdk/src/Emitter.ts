import { throwLater } from './throwLater.ts';

type Listener<Arguments extends unknown[]> = (...values: Arguments) => void;

/** Typed events. A listener that throws does not stop the others: its error is rethrown in a task of its own. */
export class Emitter<Events extends { [Name in keyof Events]: unknown[] }> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never[]>>>();

  /** Returns the function that removes the listener again. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener as unknown as Listener<never[]>);
    return () => this.off(name, listener);
  }

  /** Like on(), for the next time only. */
  once<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const off = this.on(name, (...values) => {
      off();
      listener(...values);
    });
    return off;
  }

  off<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): void {
    this.#listeners.get(name)?.delete(listener as unknown as Listener<never[]>);
  }

  protected emit<Name extends keyof Events>(name: Name, ...values: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as unknown as Listener<Events[Name]>)(...values);
      } catch (error) {
        throwLater(error);
      }
    }
  }

  protected removeAllListeners(): void {
    this.#listeners.clear();
  }
}
