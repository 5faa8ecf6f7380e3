import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FacewireError } from '@facewire/proto';
import { addBuiltIns, FileAvatarStore, SharedAvatars } from './avatars/index.ts';
import type { Config } from './config.ts';
import type { AvatarData, AvatarStore, SharedFiles } from './contracts.ts';
import { AvatarEncoder, type DeviceRenderer, FaceTracker, ModelPackage, openRenderer } from './inference/index.ts';

/** A model with its avatars, without rooms and sockets: what the server, the tools and the benches share. */
export interface Engine {
  readonly package: ModelPackage;
  readonly avatars: AvatarStore;
  readonly renderer: DeviceRenderer;
  /** Releases sessions and memory after the uploads in work; those that wait are refused. May be called twice. */
  close(): Promise<void>;
}

export interface EngineLog {
  info(context: object, message: string): void;
  warn(context: object, message: string): void;
}

export interface EngineOptions {
  log?: EngineLog;
  /** have the built-in portraits among the avatars; default true */
  builtIns?: boolean;
  /**
   * open before built-in portraits are made into avatars and a CPU's precision is proven; both are done beside what is
   * drawn then. Default false: everything is as it will be
   */
  early?: boolean;
  /** avatars of users are shared with other servers through these; default: they are this server's only */
  shared?: SharedFiles;
  /** where the bank gets its avatars; default the store */
  loadAvatar?: (store: AvatarStore, id: string) => Promise<AvatarData>;
  /** time the device when nothing else is drawn, for the scheduler; default true */
  calibrate?: boolean;
  /** when a run that does not come back is given up, ms; default by what its like took: too soon for a device in software */
  renderTimeoutMs?: number;
}

/** Avatars that a device draws in two precisions at the start. */
const PARITY_AVATARS = 3;

const portraits = fileURLToPath(new URL('../../models/portraits', import.meta.url));

/**
 * Opens the model package, the face tracker, the avatar store and the renderer; makes avatars of the built-in portraits
 * where the store lacks them. Throws FacewireError: model_missing, model_corrupt, model_mismatch, device_unavailable, config_invalid,
 * cluster_unavailable (with `shared`).
 */
export async function openEngine(config: Config, options: EngineOptions = {}): Promise<Engine> {
  const { log, builtIns = true, early = false, loadAvatar = (store, id) => store.load(id) } = options;
  const warn = (message: string) => log?.warn({}, message);
  const model = await loadModel(config, warn);
  const encoder = await AvatarEncoder.create({ package: model });
  const tracker = config.tracker === '' ? undefined : await FaceTracker.open({ directory: config.tracker });
  let closing = false;
  let renderer: DeviceRenderer | undefined;
  const onChange = (id: string) => renderer?.bank.forget(id);
  const store = await FileAvatarStore.open({
    directory: join(config.dataDir, 'avatars'),
    encoder,
    ...(tracker && { tracker: (image) => tracker.find(image) }),
    warn,
    onChange,
  });
  if (builtIns) await addBuiltIns(store, portraits, warn);
  const { shared: files } = options;
  const avatars = files ? await SharedAvatars.open({ store, files, warn, onChange }) : store;
  const makeBuiltIns = () => store.makeBuiltIns(() => !closing);
  if (!early) await makeBuiltIns();
  const opened = await openRenderer({
    package: model,
    device: config.device,
    threads: config.threads,
    precision: config.precision,
    proveLater: early,
    parityAvatars: store
      .list()
      .slice(0, PARITY_AVATARS)
      .map(({ id }) => id),
    bankSlots: config.bankSlots,
    ...(config.bankMib > 0 && { bankBytes: config.bankMib * 2 ** 20 }),
    loadAvatar: (id) => loadAvatar(avatars, id),
    onFallback: warn,
    ...(options.calibrate !== false && { calibrationDir: join(config.dataDir, 'calibration') }),
    ...(options.renderTimeoutMs !== undefined && { timeoutMs: options.renderTimeoutMs }),
  }).catch(async (error: unknown) => {
    await avatars.close();
    throw error;
  });
  renderer = opened;
  const { device, precision, bank } = opened;
  log?.info({ device, precision, slots: bank.slots }, 'renderer open');
  const made = early ? makeBuiltIns() : undefined;
  return {
    package: model,
    avatars,
    renderer: opened,
    close: async () => {
      closing = true;
      await Promise.all([opened.close(), avatars.close(), made]);
      await encoder.close();
      await tracker?.close();
    },
  };
}

async function loadModel({ model, fallbackModel }: Config, warn: (message: string) => void): Promise<ModelPackage> {
  try {
    return await ModelPackage.load(model);
  } catch (cause) {
    const code = cause instanceof FacewireError ? cause.code : '';
    if (fallbackModel === '' || !['model_missing', 'model_corrupt'].includes(code)) throw cause;
    warn(`${(cause as FacewireError).message}; ${fallbackModel} takes its place`);
    return ModelPackage.load(fallbackModel);
  }
}
