import type { FacewireError } from '@facewire/proto';
import * as v from 'valibot';
import type { AvatarData, AvatarInfo, AvatarStore, Landmarks, SharedFileInfo, SharedFiles } from '../contracts.ts';
import { AVATAR_ID, AVATAR_NAME, avatarExists, avatarUnknown, compareAvatars, versionOf } from './avatarInfo.ts';
import type { FileAvatarStore } from './FileAvatarStore.ts';
import { decodeSharedFile, encodeSharedFile } from './sharedFile.ts';
import { UploadGate } from './UploadGate.ts';

export interface SharedAvatarsOptions {
  /** this server's own avatars, with the built-in ones listed */
  store: FileAvatarStore;
  files: SharedFiles;
  /** told of what other servers share and this one cannot use, and of what it cannot share */
  warn?: (message: string) => void;
  /** an avatar was deleted or replaced on another server: the bank must forget it */
  onChange?: (id: string) => void;
}

/** One that comes holds its file and the file's parts in memory, up to twice MAX_SHARED_FILE_BYTES. */
const DOWNLOADS_AT_ONCE = 4;
/** Of which so many are for lists of avatars, so that faces need not wait for them. */
const FOR_LISTS = 1;
/** When the files cannot be reached, nobody waits for that again within so long, ms. */
const UNREACHABLE_MS = 3000;
/** Failed attempts to share, and warnings given: of more the oldest are forgotten. */
const MOST_REMEMBERED = 1000;

const aboutSchema = v.object({
  name: v.pipe(v.string(), v.regex(AVATAR_NAME)),
  model: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  source: v.pipe(v.string(), v.maxLength(128)),
});

/** What an avatar is fetched for: to be drawn, or to be listed with its thumbnail. */
type Purpose = 'face' | 'list';

interface SharedAvatar {
  info: AvatarInfo;
  /** as FileAvatarStore.version() */
  version: string;
}

/**
 * Avatars that all servers of a cluster have: those of users are put into the shared files, and come from there when
 * somebody wants them. Their version tells avatars apart that had the same id one after the other: a local copy that has not
 * the shared one's is stale and served no more.
 *
 * Built-in avatars are not shared, every server has them; they win over a user's avatar of the same id from elsewhere.
 */
export class SharedAvatars implements AvatarStore {
  readonly #options: SharedAvatarsOptions;
  readonly #store: FileAvatarStore;
  readonly #files: SharedFiles;
  /** what the watch told, by id */
  readonly #shared = new Map<string, SharedAvatar>();
  /** made here, but not put yet: nobody may see them */
  readonly #unshared = new Set<string>();
  /** versions of avatars whose put failed, by id: should one still arrive, it is taken back */
  readonly #abandoned = new Map<string, string>();
  readonly #warned = new Set<string>();
  readonly #creating = new Set<Promise<AvatarInfo>>();
  readonly #downloads = new Downloads();
  #unreachable: { error: FacewireError; atMs: number } | undefined;
  /** the last of the tasks on an avatar's files, by id */
  readonly #turns = new Map<string, Promise<void>>();
  #sharing: Promise<void> = Promise.resolve();
  #stopWatching: (() => void) | undefined;
  #closed = false;

  /**
   * Resolves when it knows what the others share. Local avatars that are missing there are put there after that, unless
   * they were deleted while this server was away: then they go here too.
   *
   * @throws FacewireError cluster_unavailable
   */
  static async open(options: SharedAvatarsOptions): Promise<SharedAvatars> {
    const avatars = new SharedAvatars(options);
    avatars.#stopWatching = await options.files.watch({
      handleAll: (files) => avatars.#handleAll(files),
      handleChange: (file) => avatars.#handleFile(file),
    });
    return avatars;
  }

  private constructor(options: SharedAvatarsOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#files = options.files;
  }

  /** Also those of other servers that are not here yet. Built-in avatars first, then by age. */
  list(): AvatarInfo[] {
    const ids = new Set([...this.#store.list().map(({ id }) => id), ...this.#shared.keys()]);
    return Array.from(ids, (id) => this.get(id))
      .filter((info) => info !== undefined)
      .sort(compareAvatars);
  }

  get(id: string): AvatarInfo | undefined {
    if (this.#isElsewhere(id)) return this.#shared.get(id)!.info;
    return this.#unshared.has(id) && !this.#shared.has(id) ? undefined : this.#store.get(id);
  }

  /**
   * Makes an avatar here and shares it: both, or neither.
   *
   * Two servers that make one of the same explicit id at the same time may both find that there is none yet. Then both
   * callers are answered, and the one whose file arrives last is what every server has, the other caller's too.
   *
   * @throws FacewireError as FileAvatarStore.create(), avatar_exists also for one of another server; cluster_unavailable,
   *   model_mismatch (its avatars are too large to be shared)
   */
  create(portrait: Uint8Array, options: { name: string; landmarks?: Landmarks; id?: string }): Promise<AvatarInfo> {
    const creating = this.#create(portrait, options).finally(() => this.#creating.delete(creating));
    this.#creating.add(creating);
    return creating;
  }

  /** JPEG, 256²; undefined for an unknown avatar. Throws as load(). */
  async portrait(id: string): Promise<Uint8Array | undefined> {
    await this.#bring(id, 'list');
    return this.get(id) && this.#store.portrait(id);
  }

  /** Deletes it for all servers. Throws avatar_unknown, role_forbidden; cluster_unavailable, and nothing is deleted. */
  async delete(id: string): Promise<void> {
    const info = this.get(id);
    if (info === undefined) throw avatarUnknown(id);
    if (info.builtIn) return this.#store.delete(id); // says that it cannot be
    await this.#inTurn(id, async () => {
      await this.#files.delete(id);
      this.#shared.delete(id);
      if (this.#store.get(id)) await this.#store.delete(id);
    });
  }

  /**
   * The avatar's tensors. One of another server comes with its files first, once.
   *
   * @throws FacewireError as FileAvatarStore.load(), avatar_corrupt also for what another server shared; cluster_unavailable
   */
  async load(id: string): Promise<AvatarData> {
    await this.#bring(id, 'face');
    if (this.get(id) === undefined) throw avatarUnknown(id);
    return this.#store.load(id);
  }

  /** Refuses portraits and downloads that wait and those to come, and resolves when those in work are done. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#store.close(), this.#downloads.close()]);
    await Promise.allSettled([...this.#creating, this.#sharing]);
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    await Promise.all(this.#turns.values());
  }

  async #create(
    portrait: Uint8Array,
    options: { name: string; landmarks?: Landmarks; id?: string },
  ): Promise<AvatarInfo> {
    if (options.id !== undefined && this.#shared.has(options.id)) throw avatarExists(options.id);
    const info = await this.#store.create(portrait, options);
    const { id } = info;
    this.#unshared.add(id);
    try {
      await this.#inTurn(id, () => this.#put(id));
    } catch (error) {
      await this.#inTurn(id, async () => {
        if (this.#store.get(id)) await this.#store.delete(id);
      });
      throw error;
    } finally {
      this.#unshared.delete(id);
    }
    return info;
  }

  async #put(id: string): Promise<void> {
    const { record, files } = await this.#store.files(id);
    const data = encodeSharedFile(files);
    if (this.#shared.has(id)) throw avatarExists(id);
    this.#abandoned.delete(id);
    const { name, model, createdAt } = record.info;
    const { source } = record;
    try {
      await this.#files.put(id, { name, model, createdAt, source }, data);
    } catch (error) {
      if (this.#unshared.has(id)) this.#abandon(id, versionOf(createdAt, source));
      throw error;
    }
  }

  #abandon(id: string, version: string): void {
    this.#abandoned.set(id, version);
    if (this.#abandoned.size > MOST_REMEMBERED) this.#abandoned.delete(this.#abandoned.keys().next().value!);
  }

  #handleAll(files: readonly SharedFileInfo[]): void {
    this.#unreachable = undefined;
    const there = new Set(files.filter(({ deleted }) => !deleted).map(({ key }) => key));
    for (const id of this.#shared.keys()) {
      if (there.has(id)) continue;
      this.#shared.delete(id);
      if (!this.#store.get(id)) this.#options.onChange?.(id);
    }
    for (const file of files) this.#handleFile(file);
    this.#sharing = this.#sharing.then(() => this.#shareMissing());
  }

  #handleFile(file: SharedFileInfo): void {
    const id = file.key;
    if (file.deleted) {
      this.#handleDeleted(file);
      return;
    }
    if (this.#store.get(id)?.builtIn) {
      this.#warn(`avatar ${id} of another server is not used: this server has a built-in one of that id`);
      return;
    }
    const about = v.safeParse(aboutSchema, file.about);
    if (!AVATAR_ID.test(id) || !about.success) {
      this.#warn(`shared file ${JSON.stringify(id)} is not used: it is no avatar's`);
      return;
    }
    const { name, model, createdAt, source } = about.output;
    const version = versionOf(createdAt, source);
    if (this.#abandoned.get(id) === version) {
      this.#takeBack(id, version);
      return;
    }
    const before = this.#version(id);
    this.#shared.set(id, { info: { id, name, model, builtIn: false, createdAt }, version });
    if (before !== undefined && before !== version) this.#options.onChange?.(id);
  }

  #handleDeleted(file: SharedFileInfo): void {
    const id = file.key;
    const own = this.#store.get(id);
    const known = this.#shared.delete(id);
    if (own === undefined) {
      if (known) this.#options.onChange?.(id);
      return;
    }
    // One of another id's past: a built-in one, one that is just being made, or one made after the deletion.
    const version = this.#store.version(id);
    const isMeant =
      version === versionOf(file.about.createdAt, file.about.source) || Date.parse(own.createdAt) < file.changedAtMs;
    if (own.builtIn || this.#unshared.has(id) || !isMeant) return;
    void this.#inTurn(id, async () => {
      if (this.#store.version(id) === version) await this.#store.delete(id);
    }).catch((error: Error) =>
      this.#warn(`avatar ${id} was deleted on another server, but not here: ${error.message}`),
    );
  }

  /** It arrived after all, and whoever made it was told that it did not. */
  #takeBack(id: string, version: string): void {
    void this.#inTurn(id, async () => {
      // Unless it was made once more since then.
      if (this.#abandoned.get(id) !== version) return;
      await this.#files.delete(id);
      this.#abandoned.delete(id);
    }).catch((error: Error) => this.#warn(`avatar ${id} was not made, but is shared: ${error.message}`));
  }

  /** Puts the local avatars into the shared files that are not there. */
  async #shareMissing(): Promise<void> {
    for (const { id, builtIn } of this.#store.list()) {
      if (this.#closed) return;
      const isMissing = () => this.#store.get(id) && !this.#shared.has(id) && !this.#unshared.has(id);
      if (builtIn || !isMissing()) continue;
      try {
        await this.#inTurn(id, async () => {
          // What the watch lacks may be there all the same: a newer one must not be replaced.
          if (isMissing() && (await this.#files.get(id)) === undefined) await this.#put(id);
        });
      } catch (error) {
        const { code, message } = error as FacewireError;
        this.#warn(`avatar ${id} could not be shared with the other servers: ${message}`);
        // The others would fare no better; when the connection is back all is told anew.
        if (code === 'cluster_unavailable') return;
      }
    }
  }

  /** Sees that the avatar is here, as it is now. */
  #bring(id: string, purpose: Purpose): Promise<void> | undefined {
    return this.#isElsewhere(id) ? this.#downloads.once(id, purpose, () => this.#download(id)) : undefined;
  }

  async #fetch(id: string): Promise<Uint8Array> {
    const { error, atMs } = this.#unreachable ?? { atMs: -Infinity };
    if (error && performance.now() - atMs < UNREACHABLE_MS) throw error;
    const data = await this.#files.get(id).catch((cause: FacewireError) => {
      if (cause.code === 'cluster_unavailable') this.#unreachable = { error: cause, atMs: performance.now() };
      throw cause;
    });
    if (data === undefined) throw avatarUnknown(id);
    return data;
  }

  async #download(id: string): Promise<void> {
    // Again when it is replaced meanwhile.
    while (this.#isElsewhere(id)) {
      const { version } = this.#shared.get(id)!;
      const isStill = () => this.#shared.get(id)?.version === version;
      const { record, files } = await decodeSharedFile(id, await this.#fetch(id));
      await this.#inTurn(id, async () => {
        if (!isStill()) return;
        await this.#store.keep(record, files);
        // The file may be newer than what the watch has told by now.
        if (isStill())
          this.#shared.set(id, { info: record.info, version: versionOf(record.info.createdAt, record.source) });
        else if (!this.#shared.has(id)) await this.#store.delete(id);
      });
    }
  }

  /** Whether it is shared, and what is here under its id, if anything, is not it. */
  #isElsewhere(id: string): boolean {
    const shared = this.#shared.get(id);
    return shared !== undefined && this.#store.version(id) !== shared.version;
  }

  #version(id: string): string | undefined {
    return this.#shared.get(id)?.version ?? this.#store.version(id);
  }

  /** Tasks on one avatar's files, one after the other. */
  #inTurn<T>(id: string, task: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(id) ?? Promise.resolve()).then(task);
    const over = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(id, over);
    void over.then(() => this.#turns.get(id) === over && this.#turns.delete(id));
    return turn;
  }

  /** Once: all files are told again and again. */
  #warn(message: string): void {
    if (this.#warned.has(message)) return;
    if (this.#warned.size >= MOST_REMEMBERED) this.#warned.clear();
    this.#warned.add(message);
    this.#options.warn?.(message);
  }
}

/** Some at once, the others wait, those for lists behind those of their own kind; one of an id serves all who want it. */
class Downloads {
  readonly #faces = new UploadGate({ atOnce: DOWNLOADS_AT_ONCE - FOR_LISTS, waiting: Number.POSITIVE_INFINITY });
  readonly #lists = new UploadGate({ atOnce: FOR_LISTS, waiting: Number.POSITIVE_INFINITY });
  readonly #underWay = new Map<string, { begun: boolean; over: Promise<void> }>();

  once(id: string, purpose: Purpose, download: () => Promise<void>): Promise<void> {
    const known = this.#underWay.get(id);
    // A face does not wait behind lists: then it comes for both.
    if (known && (known.begun || purpose === 'list')) return known.over;
    const entry = { begun: false, over: Promise.resolve() };
    const gate = purpose === 'list' ? this.#lists : this.#faces;
    entry.over = gate
      .run(() => {
        entry.begun = true;
        return download();
      })
      .finally(() => {
        if (this.#underWay.get(id) === entry) this.#underWay.delete(id);
      });
    this.#underWay.set(id, entry);
    return entry.over;
  }

  async close(): Promise<void> {
    await Promise.all([this.#faces.close(), this.#lists.close()]);
  }
}
