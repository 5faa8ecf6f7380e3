import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FacewireError } from '@facewire/proto';
import {
  type AvatarData,
  type AvatarInfo,
  type AvatarStore,
  type Landmarks,
  MAX_PORTRAIT_BYTES,
  type Tensor,
} from '../contracts.ts';
import {
  type AvatarRecord,
  corrupt,
  decodeAvatarFile,
  encodeAvatarFile,
  readAvatarFile,
  readAvatarRecord,
  sourceOf,
} from './avatarFile.ts';
import { avatarExists, avatarUnknown, checkId, checkName, compareAvatars, slug, versionOf } from './avatarInfo.ts';
import { checkLandmarks } from './checkLandmarks.ts';
import { cropPortrait, landmarksInCrop } from './cropPortrait.ts';
import {
  type ImageLimits,
  PORTRAIT_SIZE,
  type Portrait,
  portraitJpeg,
  readPortrait,
  THUMBNAIL_SIZE,
} from './readPortrait.ts';
import type { AvatarFiles } from './sharedFile.ts';
import { type PortraitTracker, trackPortrait } from './trackPortrait.ts';
import { UploadGate } from './UploadGate.ts';

/** Makes avatars: inference's AvatarEncoder. */
export interface PortraitEncoder {
  /** ModelPackage.id of what it makes */
  readonly model: string;
  /** @param portrait RGB 512·512·3, @param landmarks 68×2 in −1…1 */
  encode(portrait: Uint8Array, landmarks: Float32Array): Promise<ReadonlyMap<string, Tensor>>;
}

export interface FileAvatarStoreOptions extends Partial<ImageLimits> {
  directory: string;
  encoder: PortraitEncoder;
  /** finds the landmarks of pictures that come without */
  tracker?: PortraitTracker;
  /** told of corrupt files and of avatars made again */
  warn?: (message: string) => void;
  /** an avatar was deleted or replaced: the bank must forget it */
  onChange?: (id: string) => void;
}

/** A portrait that comes with the server. */
interface BuiltIn {
  info: AvatarInfo;
  portrait: Uint8Array;
  landmarks: Landmarks;
  /** hash of all that it is made of */
  source: string;
}

const DEFAULT_LIMITS: ImageLimits = { maxBytes: MAX_PORTRAIT_BYTES, maxPixels: 40_000_000 };
/** A picture being tracked holds some 10 MB; tracker and encoder take one at a time, so that more in work would only wait there. */
const UPLOADS = { atOnce: 2, waiting: 16 };
const SUFFIX = '.safetensors';
const PORTRAIT_SUFFIX = '.portrait.jpg';
const THUMBNAIL_SUFFIX = '.thumbnail.jpg';

/**
 * Avatars as files: `<id>.safetensors`, with the portrait (`<id>.portrait.jpg`, 512², from which the avatar is made again
 * when the model changes) and its thumbnail (`<id>.thumbnail.jpg`, 256²) beside it. The safetensors file is written last,
 * and whole or not at all: an avatar exists when it does. One process owns the directory.
 */
export class FileAvatarStore implements AvatarStore {
  private readonly options: FileAvatarStoreOptions;
  private readonly limits: ImageLimits;
  private readonly records = new Map<string, AvatarRecord>();
  /** ids that a create() under way will use */
  private readonly reserved = new Set<string>();
  /** ids whose files are being deleted: nobody makes another there meanwhile */
  private readonly removing = new Set<string>();
  /** built-in avatars that are not made yet, by id */
  private readonly unmade = new Map<string, BuiltIn>();
  /** avatars that are made, of a built-in portrait or again for another model */
  private readonly making = new Map<string, Promise<AvatarData>>();
  private readonly uploads = new UploadGate(UPLOADS);

  /** Opens a directory, making it if need be. Corrupt files in it are reported and left alone. */
  static async open(options: FileAvatarStoreOptions): Promise<FileAvatarStore> {
    const store = new FileAvatarStore(options);
    await mkdir(options.directory, { recursive: true });
    for (const file of (await readdir(options.directory)).sort()) {
      if (file.endsWith('.tmp')) await rm(join(options.directory, file), { force: true });
      if (!file.endsWith(SUFFIX)) continue;
      const id = file.slice(0, -SUFFIX.length);
      try {
        store.records.set(id, await readAvatarRecord(join(options.directory, file), id));
      } catch (error) {
        options.warn?.(`${(error as Error).message}; skipped (${(error as FacewireError).remedy})`);
      }
    }
    return store;
  }

  private constructor(options: FileAvatarStoreOptions) {
    this.options = options;
    this.limits = {
      maxBytes: options.maxBytes ?? DEFAULT_LIMITS.maxBytes,
      maxPixels: options.maxPixels ?? DEFAULT_LIMITS.maxPixels,
    };
  }

  /** Built-in avatars first, then by age. */
  list(): AvatarInfo[] {
    const made = Array.from(this.records.values()).filter(({ info }) => !this.unmade.has(info.id));
    return Array.from([...made, ...this.unmade.values()], ({ info }) => info).sort(compareAvatars);
  }

  get(id: string): AvatarInfo | undefined {
    return (this.unmade.get(id) ?? this.records.get(id))?.info;
  }

  /** Differs between avatars that had the same id one after the other; undefined for one that is not made. */
  version(id: string): string | undefined {
    const record = this.records.get(id);
    return record && versionOf(record.info.createdAt, record.source);
  }

  /**
   * Makes an avatar of a portrait. Two are made at once and 16 wait; nothing is decoded before its turn.
   *
   * @param portrait a JPEG, PNG or WebP file
   * @param options.landmarks pixels of the upright picture (turned by its EXIF orientation), y down
   * @param options.id default: made of the name and six random digits
   * @throws FacewireError image_unreadable, image_too_large, landmarks_required, landmarks_invalid, avatar_exists,
   *   message_malformed (name or id), server_full, server_closing (after close()), and without landmarks what
   *   choosePortraitFace throws (face_not_found, …)
   */
  async create(
    portrait: Uint8Array,
    options: { name: string; landmarks?: Landmarks; id?: string },
  ): Promise<AvatarInfo> {
    const name = checkName(options.name);
    const id = this.reserve(name, options.id);
    try {
      const info = this.describe(id, name, false);
      const { landmarks } = options;
      const made = await this.uploads.run(() =>
        this.make(info, portrait, landmarks, sourceOf(portrait, name, landmarks)),
      );
      return made.info;
    } finally {
      this.reserved.delete(id);
    }
  }

  /**
   * Lists an avatar of the server's own. It is made when it is first loaded, or by makeBuiltIns(), and made again when
   * portrait, landmarks or model changed.
   *
   * @returns whether it has to be made
   * @throws FacewireError avatar_exists, message_malformed (name or id)
   */
  addBuiltIn(portrait: Uint8Array, options: { id: string; name: string; landmarks: Landmarks }): boolean {
    const source = sourceOf(portrait, options.name, options.landmarks);
    const known = this.records.get(options.id);
    if (known !== undefined && !known.info.builtIn) {
      throw new FacewireError('avatar_exists', `${options.id} is an avatar of a user, not a built-in one`, {
        received: options.id,
        remedy: 'delete that avatar, or rename the built-in portrait',
      });
    }
    if (known?.source === source && known.info.model === this.options.encoder.model) return false;
    const info = this.describe(checkId(options.id), checkName(options.name), true);
    this.unmade.set(info.id, { info, portrait, landmarks: options.landmarks, source });
    return true;
  }

  /** Makes the built-in avatars that nobody has loaded yet, one after the other. What cannot be made is reported and dropped. */
  async makeBuiltIns(mayGoOn: () => boolean = () => true): Promise<void> {
    for (const id of [...this.unmade.keys()]) {
      if (!mayGoOn()) return;
      if (this.unmade.has(id)) await this.load(id).catch(() => undefined);
    }
  }

  /** JPEG, 256²; undefined for an unknown avatar */
  async portrait(id: string): Promise<Uint8Array | undefined> {
    if (this.unmade.has(id)) await this.load(id).catch(() => undefined);
    if (!this.records.has(id)) return undefined;
    return readFile(this.path(id, THUMBNAIL_SUFFIX)).catch(() => undefined);
  }

  /** Throws avatar_unknown, role_forbidden for a built-in avatar. */
  async delete(id: string): Promise<void> {
    const info = this.get(id) ?? this.record(id).info;
    if (info.builtIn) {
      throw new FacewireError('role_forbidden', `${id} is built into the server and cannot be deleted`, {
        received: id,
        remedy: 'delete avatars that were created through the API only',
      });
    }
    this.records.delete(id);
    this.removing.add(id);
    try {
      for (const suffix of [SUFFIX, PORTRAIT_SUFFIX, THUMBNAIL_SUFFIX]) {
        await rm(this.path(id, suffix), { force: true });
      }
    } finally {
      this.removing.delete(id);
      this.options.onChange?.(id);
    }
  }

  /**
   * The avatar's tensors. A built-in one is made when it is first asked for; one that was made for another model is made
   * again from its portrait and kept.
   *
   * @throws FacewireError avatar_unknown, avatar_corrupt; what create() throws for a built-in portrait that cannot be used
   */
  async load(id: string): Promise<AvatarData> {
    const builtIn = this.unmade.get(id);
    const known = builtIn ?? this.record(id);
    if (builtIn === undefined && known.info.model === this.options.encoder.model) {
      const { record, tensors } = await readAvatarFile(this.path(id, SUFFIX), id);
      return { id, name: record.info.name, model: record.info.model, tensors };
    }
    let made = this.making.get(id);
    if (made === undefined) {
      made = (builtIn ? this.makeBuiltIn(builtIn) : this.remake(this.record(id))).finally(() => this.making.delete(id));
      this.making.set(id, made);
    }
    return made;
  }

  /** What is kept of an avatar, for another store's keep(). Throws avatar_unknown, avatar_corrupt. */
  async files(id: string): Promise<{ record: AvatarRecord; files: AvatarFiles }> {
    this.record(id);
    const read = (suffix: string) => {
      const path = this.path(id, suffix);
      return readFile(path).catch((cause: Error) => {
        throw corrupt(path, cause.message, cause);
      });
    };
    const avatar = await read(SUFFIX);
    const { record } = decodeAvatarFile(avatar, id, this.path(id, SUFFIX));
    return {
      record,
      files: { avatar, portrait: await read(PORTRAIT_SUFFIX), thumbnail: await read(THUMBNAIL_SUFFIX) },
    };
  }

  /**
   * Keeps an avatar that another store made, in place of one of a user under its id; onChange is not called.
   *
   * @param files checked, and of the record
   */
  async keep(record: AvatarRecord, files: AvatarFiles): Promise<void> {
    const { id } = record.info;
    // What is being made again of the one before would be written over it.
    await this.making.get(id)?.catch(() => undefined);
    await this.write(id, PORTRAIT_SUFFIX, files.portrait);
    await this.write(id, THUMBNAIL_SUFFIX, files.thumbnail);
    await this.write(id, SUFFIX, files.avatar);
    this.records.set(id, record);
  }

  /** Refuses the portraits that wait for create() and those to come, and resolves when those in work are done. */
  close(): Promise<void> {
    return this.uploads.close();
  }

  private async makeBuiltIn({ info, portrait, landmarks, source }: BuiltIn): Promise<AvatarData> {
    try {
      return await this.make(info, portrait, landmarks, source);
    } catch (error) {
      this.options.warn?.(`built-in portrait ${info.id} skipped: ${(error as Error).message}`);
      throw error;
    } finally {
      this.unmade.delete(info.id);
    }
  }

  private describe(id: string, name: string, builtIn: boolean): AvatarInfo {
    return { id, name, model: this.options.encoder.model, builtIn, createdAt: new Date().toISOString() };
  }

  private async make(
    info: AvatarInfo,
    file: Uint8Array,
    given: Landmarks | undefined,
    source: string,
  ): Promise<AvatarData & { info: AvatarInfo }> {
    const image = await readPortrait(file, this.limits);
    const landmarks = given ?? (await this.track(image));
    checkLandmarks(landmarks, image.width, image.height);
    const crop = cropPortrait(landmarks, image.width, image.height);
    const rgb = await image.rgb(crop);
    const record: AvatarRecord = { info, landmarks: landmarksInCrop(landmarks, crop), source };
    const tensors = await this.options.encoder.encode(rgb, record.landmarks);
    const { id, name, model } = info;
    await this.write(id, PORTRAIT_SUFFIX, await portraitJpeg(rgb, PORTRAIT_SIZE));
    await this.write(id, THUMBNAIL_SUFFIX, await portraitJpeg(rgb, THUMBNAIL_SIZE));
    await this.save(record, tensors);
    return { id, name, model, tensors, info };
  }

  private async remake({ info, landmarks, source }: AvatarRecord): Promise<AvatarData> {
    const path = this.path(info.id, PORTRAIT_SUFFIX);
    const file = await readFile(path).catch((cause) => {
      throw corrupt(
        path,
        `it is needed to make the avatar again for ${this.options.encoder.model}: ${cause.message}`,
        cause,
      );
    });
    const image = await readPortrait(file, this.limits);
    const rgb = await image.rgb({ left: 0, top: 0, side: Math.max(image.width, image.height) });
    const tensors = await this.options.encoder.encode(rgb, landmarks);
    const record = { info: { ...info, model: this.options.encoder.model }, landmarks, source };
    // It may have been deleted meanwhile, even while it is written.
    if (this.records.has(info.id)) await this.write(info.id, SUFFIX, encodeAvatarFile(record, tensors));
    if (this.records.has(info.id)) this.records.set(info.id, record);
    else await rm(this.path(info.id, SUFFIX), { force: true });
    this.options.warn?.(
      `avatar ${info.id} was made for ${info.model} and has been made again for ${record.info.model}`,
    );
    return { id: info.id, name: info.name, model: record.info.model, tensors };
  }

  /** The landmarks of the one face that the picture is about. */
  private async track(image: Portrait): Promise<Landmarks> {
    const { tracker } = this.options;
    if (tracker === undefined) {
      throw new FacewireError(
        'landmarks_required',
        'the portrait came without landmarks, and no face tracker is set up',
        {
          remedy: 'send 68 landmarks with the portrait',
        },
      );
    }
    return trackPortrait(image, tracker);
  }

  private async save(record: AvatarRecord, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
    const { id } = record.info;
    await this.write(id, SUFFIX, encodeAvatarFile(record, tensors));
    // No bank holds what a built-in portrait was made into before.
    const replaced = this.records.has(id) && !this.unmade.has(id);
    this.records.set(id, record);
    if (replaced) this.options.onChange?.(id);
  }

  /** Whole or not at all, also when the machine stops meanwhile. */
  private async write(id: string, suffix: string, data: Uint8Array): Promise<void> {
    const temporary = join(this.options.directory, `${id}${suffix}.${randomBytes(4).toString('hex')}.tmp`);
    try {
      const file = await open(temporary, 'wx');
      try {
        await file.writeFile(data);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.path(id, suffix));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  private reserve(name: string, wanted: string | undefined): string {
    const taken = (id: string) => this.get(id) !== undefined || this.reserved.has(id) || this.removing.has(id);
    let id: string;
    if (wanted === undefined) {
      do id = `${slug(name)}-${randomBytes(3).toString('hex')}`;
      while (taken(id));
    } else {
      id = checkId(wanted);
      if (taken(id)) throw avatarExists(id);
    }
    this.reserved.add(id);
    return id;
  }

  private record(id: string): AvatarRecord {
    const record = this.records.get(id);
    if (record === undefined) throw avatarUnknown(id);
    return record;
  }

  private path(id: string, suffix: string): string {
    return join(this.options.directory, `${id}${suffix}`);
  }
}
