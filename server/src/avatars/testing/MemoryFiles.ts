import { FacewireError } from '@facewire/proto';
import type { SharedFileInfo, SharedFiles, SharedFilesListener } from '../../contracts.ts';

interface Kept {
  info: SharedFileInfo;
  data: Uint8Array;
}

/** Shared files in memory. Each server has a connection of its own, which a test can cut. */
export class MemoryFiles {
  readonly kept = new Map<string, Kept>();
  readonly connections: MemoryFilesConnection[] = [];

  connect(): MemoryFilesConnection {
    const connection = new MemoryFilesConnection(this);
    this.connections.push(connection);
    return connection;
  }

  change(info: SharedFileInfo, data: Uint8Array): void {
    this.kept.set(info.key, { info, data });
    for (const connection of this.connections) connection.tell(info);
  }
}

export class MemoryFilesConnection implements SharedFiles {
  /** awaited before a file is handed out or taken; may throw */
  beforeGet: () => Promise<void> | void = () => {};
  beforePut: () => Promise<void> | void = () => {};
  /** files are put and deleted, but the answer is lost */
  losesAnswers = false;
  gets = 0;
  readonly #server: MemoryFiles;
  readonly #listeners = new Set<SharedFilesListener>();
  #isCut = false;

  constructor(server: MemoryFiles) {
    this.#server = server;
  }

  cut(): void {
    this.#isCut = true;
  }

  restore(): void {
    this.#isCut = false;
    for (const listener of this.#listeners) listener.handleAll(this.#all());
  }

  async put(key: string, about: Readonly<Record<string, string>>, data: Uint8Array): Promise<void> {
    await this.beforePut();
    await this.#reach();
    this.#server.change({ key, about: { ...about }, deleted: false, changedAtMs: Date.now() }, data.slice());
    this.#answer();
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.gets++;
    await this.beforeGet();
    await this.#reach();
    const kept = this.#server.kept.get(key);
    return kept && !kept.info.deleted ? kept.data.slice() : undefined;
  }

  async delete(key: string): Promise<void> {
    await this.#reach();
    const kept = this.#server.kept.get(key);
    if (kept && !kept.info.deleted) {
      this.#server.change({ ...kept.info, deleted: true, changedAtMs: Date.now() }, new Uint8Array());
    }
    this.#answer();
  }

  async watch(listener: SharedFilesListener): Promise<() => void> {
    await this.#reach();
    listener.handleAll(this.#all());
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Later, as over a network, and in order. */
  tell(info: SharedFileInfo): void {
    setImmediate(() => {
      if (this.#isCut) return;
      for (const listener of this.#listeners) listener.handleChange(info);
    });
  }

  #all(): SharedFileInfo[] {
    return Array.from(this.#server.kept.values(), ({ info }) => info);
  }

  async #reach(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#isCut) throw unreachable();
  }

  #answer(): void {
    if (this.losesAnswers) throw unreachable();
  }
}

function unreachable(): FacewireError {
  return new FacewireError('cluster_unavailable', 'the connection is cut', { remedy: 'restore() it' });
}
