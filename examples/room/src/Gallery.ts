import type { AvatarClient } from '@facewire/client-sdk';
import type { View } from '@facewire/proto';
import type { PerspectiveCamera } from 'three';
import { assignScreens } from './assignScreens.ts';
import type { StreamRow } from './hud/StatsPanel.ts';
import type { Monitor } from './scene/monitor.ts';

/** Keeps the screens in step with who is in the room. */
export class Gallery {
  readonly #client: AvatarClient;
  readonly #monitors: readonly Monitor[];
  #shown: (string | undefined)[];

  constructor(client: AvatarClient, monitors: readonly Monitor[]) {
    this.#client = client;
    this.#monitors = monitors;
    this.#shown = monitors.map(() => undefined);
    for (const name of ['open', 'participantJoined', 'participantUpdated', 'participantLeft'] as const) {
      client.on(name, () => this.#assign());
    }
    client.on('close', () => this.#clear());
  }

  set view(view: View | 'follow') {
    for (const { screen } of this.#monitors) screen.view = view;
  }

  update(camera: PerspectiveCamera, viewportHeight: number): void {
    for (const { screen } of this.#monitors) screen.update(camera, viewportHeight);
  }

  rows(): StreamRow[] {
    return this.#monitors.flatMap(({ screen }) => {
      const { stream } = screen;
      if (!stream) return [];
      const participant = this.#client.participants.get(stream.participant);
      const { participant: id, stats } = stream;
      return [{ id, name: participant?.name ?? id, bot: participant?.bot ?? false, stats }];
    });
  }

  #assign(): void {
    if (this.#client.state !== 'open') return;
    const players = [...this.#client.participants.values()].filter(({ role }) => role === 'player');
    const wanted = assignScreens(this.#shown, players);
    this.#monitors.forEach((monitor, index) => {
      const id = wanted[index];
      if (id === undefined) {
        if (monitor.screen.stream) monitor.screen.hide();
      } else if (monitor.screen.participant !== id) {
        monitor.screen.show(this.#client, id);
      }
      monitor.showName(id === undefined ? undefined : this.#client.participants.get(id)?.name);
    });
    this.#shown = wanted;
  }

  #clear(): void {
    for (const monitor of this.#monitors) {
      monitor.screen.hide();
      monitor.showName(undefined);
    }
    this.#shown = this.#monitors.map(() => undefined);
  }
}
