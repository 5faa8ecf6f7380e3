import { VoiceMouth } from '@facewire/client-sdk';
import { type HeadPose, type Motion, synthesizeMotion } from '@facewire/proto';
import { make } from '../hud/dom.ts';
import { FaceSliders } from './FaceSliders.ts';
import { PlayerSession } from './PlayerSession.ts';
import { Voice } from './Voice.ts';

type Driver = 'synthetic' | 'voice' | 'hand';

interface Avatar {
  id: string;
  name: string;
}

/** Joins and leaves as a player: avatar, name, and who moves the face. */
export class PlayPanel {
  readonly element: HTMLElement;
  /** while there is one, the visitor's own head takes the place of the driver's */
  headset: (() => HeadPose | undefined) | undefined;
  readonly #options: { url: string; room: string };
  readonly #sliders = new FaceSliders();
  readonly #avatars = make('div', { class: 'avatars', role: 'radiogroup', 'aria-label': 'Avatar' });
  readonly #name = make('input', { type: 'text', maxlength: '32', value: 'Guest', 'aria-label': 'Your name' });
  readonly #join = make('button', { class: 'primary', type: 'button' }, 'Join');
  readonly #message = make('p', { class: 'message', role: 'status' });
  readonly #packets = make('p', { class: 'packets' });
  #chosen: string | undefined;
  readonly #seed = Math.floor(Math.random() * 1e6);
  #driver: Driver = 'synthetic';
  #voice: Voice | undefined;
  #session: PlayerSession | undefined;
  #loaded = false;
  #face: Motion | undefined;

  constructor(options: { url: string; room: string }) {
    this.#options = options;
    this.#join.addEventListener('click', () => void this.#toggle());
    this.element = make(
      'details',
      { class: 'panel play' },
      make('summary', {}, 'Join as a player'),
      this.#avatars,
      make('label', { class: 'field' }, make('span', {}, 'Name'), this.#name),
      this.#driverChoice(),
      this.#sliders.element,
      this.#join,
      this.#message,
      this.#packets,
    );
    this.#sliders.element.hidden = true;
    (this.element as HTMLDetailsElement).addEventListener('toggle', () => void this.#loadAvatars());
  }

  get session(): PlayerSession | undefined {
    return this.#session;
  }

  /** what was published last, for tests and for the curious */
  get face(): Motion | undefined {
    return this.#face;
  }

  /** Shows what this page sends. */
  update(): void {
    const published = this.#session?.published;
    this.#packets.textContent = published
      ? `Your face: ${published.packets.toLocaleString('en')} packets, ${published.lastPacketBytes} bytes each, ` +
        `mean ${(published.bytes / Math.max(1, published.packets)).toFixed(1)}`
      : '';
  }

  #driverChoice(): HTMLElement {
    const choice = (label: string, driver: Driver, checked: boolean) => {
      const input = make('input', { type: 'radio', name: 'driver', ...(checked ? { checked: '' } : {}) });
      input.addEventListener('change', () => void this.#drive(driver));
      return make('label', {}, input, make('span', {}, label));
    };
    return make(
      'div',
      { class: 'choice', role: 'radiogroup', 'aria-label': 'Who moves the face' },
      choice('Synthetic', 'synthetic', true),
      choice('My voice', 'voice', false),
      choice('By hand', 'hand', false),
    );
  }

  async #drive(driver: Driver): Promise<void> {
    this.#driver = driver;
    this.#sliders.element.hidden = driver !== 'hand';
    this.#say('');
    this.#voice?.close();
    this.#voice = undefined;
    if (driver !== 'voice') return;
    try {
      const voice = await Voice.open();
      // Another choice may have been made while the browser asked.
      if (this.#driver === 'voice') this.#voice = voice;
      else voice.close();
    } catch (error) {
      if (this.#driver === 'voice') this.#say(`The mouth stays shut, there is no microphone: ${messageOf(error)}`);
    }
  }

  #readFace(): Motion {
    const motion =
      this.#driver === 'hand' ? this.#sliders.motion : synthesizeMotion(performance.now() / 1000, this.#seed);
    if (this.#driver === 'voice') (this.#voice?.listen() ?? SILENT).apply(motion);
    const pose = this.headset?.();
    this.#face = pose ? { ...motion, pose } : motion;
    return this.#face;
  }

  async #loadAvatars(): Promise<void> {
    if (this.#loaded) return;
    this.#loaded = true;
    try {
      const response = await fetch(new URL('/api/avatars', location.href));
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const { avatars } = (await response.json()) as { avatars: Avatar[] };
      this.#avatars.replaceChildren(...avatars.map((avatar, index) => this.#avatarChoice(avatar, index === 0)));
    } catch (error) {
      this.#loaded = false;
      this.#say(`The avatars could not be loaded: ${messageOf(error)}. Close and open this panel to try again.`);
    }
  }

  #avatarChoice({ id, name }: Avatar, checked: boolean): HTMLElement {
    const input = make('input', { type: 'radio', name: 'avatar', value: id, ...(checked ? { checked: '' } : {}) });
    input.addEventListener('change', () => {
      this.#chosen = id;
    });
    if (checked) this.#chosen = id;
    const picture = make('img', {
      src: `/api/avatars/${encodeURIComponent(id)}/portrait`,
      alt: '',
      loading: 'lazy',
      width: '64',
      height: '64',
    });
    return make('label', { title: name }, input, picture, make('span', {}, name));
  }

  async #toggle(): Promise<void> {
    if (this.#session) {
      this.#session.leave();
      this.#session = undefined;
      this.#show();
      return;
    }
    if (!this.#chosen) {
      this.#say('Choose an avatar first.');
      return;
    }
    this.#join.disabled = true;
    this.#say('');
    try {
      const name = this.#name.value.trim() || 'Guest';
      this.#session = await PlayerSession.join({ ...this.#options, name, avatar: this.#chosen }, () =>
        this.#readFace(),
      );
    } catch (error) {
      this.#say(`Joining failed: ${messageOf(error)}`);
    } finally {
      this.#join.disabled = false;
      this.#show();
    }
  }

  #show(): void {
    this.#join.textContent = this.#session ? 'Leave' : 'Join';
    this.#join.classList.toggle('primary', !this.#session);
    this.element.classList.toggle('playing', this.#session !== undefined);
    this.update();
  }

  #say(text: string): void {
    this.#message.textContent = text;
  }
}

/** Until a microphone is open. */
const SILENT = new VoiceMouth();

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
