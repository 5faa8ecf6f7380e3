import { make } from './dom.ts';

export type Connection = 'connecting' | 'open' | 'reconnecting' | 'closed';

const WORDS: Record<Connection, string> = {
  connecting: 'Connecting',
  open: 'Live',
  reconnecting: 'Reconnecting',
  closed: 'Offline',
};

/** The name of the place and how the connection is. */
export class Header {
  readonly element: HTMLElement;
  readonly #state = make('span', { class: 'state connecting' }, WORDS.connecting);
  readonly #people = make('span', { class: 'people' });

  constructor(room: string) {
    this.element = make(
      'header',
      { class: 'brand' },
      make('h1', {}, 'facewire'),
      make('p', {}, this.#state, make('span', {}, room), this.#people),
    );
  }

  showConnection(connection: Connection): void {
    this.#state.className = `state ${connection}`;
    this.#state.textContent = WORDS[connection];
  }

  showPeople(players: number, viewers: number): void {
    this.#people.textContent = `${players} on screen, ${viewers} watching`;
  }
}
