import { FacewireError } from '@facewire/proto';
import type { AvatarData, AvatarInfo, AvatarStore, Landmarks } from '../../contracts.ts';

interface Kept {
  info: AvatarInfo;
  portrait: Uint8Array;
  landmarks: Landmarks | undefined;
}

/** An avatar store for tests of the transports: takes any bytes that do not start with `x` for an image. */
export class MemoryAvatarStore implements AvatarStore {
  readonly kept = new Map<string, Kept>();

  list(): AvatarInfo[] {
    return [...this.kept.values()].map((each) => each.info);
  }

  get(id: string): AvatarInfo | undefined {
    return this.kept.get(id)?.info;
  }

  async create(
    portrait: Uint8Array,
    options: { name: string; landmarks?: Landmarks; id?: string; builtIn?: boolean },
  ): Promise<AvatarInfo> {
    if (portrait[0] === 'x'.charCodeAt(0)) throw new FacewireError('image_unreadable', 'this is no image');
    const { id = `avatar-${this.kept.size + 1}`, name, landmarks, builtIn = false } = options;
    const info = { id, name, model: 'test', builtIn, createdAt: '2026-01-31T12:00:00.000Z' };
    this.kept.set(id, { info, portrait: portrait.slice(), landmarks });
    return info;
  }

  async portrait(id: string): Promise<Uint8Array | undefined> {
    return this.kept.get(id)?.portrait;
  }

  async delete(id: string): Promise<void> {
    if (this.get(id)?.builtIn) throw new FacewireError('role_forbidden', 'built-in avatars cannot be deleted');
    this.kept.delete(id);
  }

  async load(id: string): Promise<AvatarData> {
    throw new FacewireError('avatar_unknown', 'the test store keeps no tensors', { received: id });
  }

  async close(): Promise<void> {}
}
