import { setTimeout as delay } from 'node:timers/promises';
import { FacewireError } from '@facewire/proto';
import {
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import { type ObjectStore, Objm } from '@nats-io/obj';
import type { NatsConnection } from '@nats-io/transport-node';
import * as v from 'valibot';
import {
  MAX_SHARED_FILE_BYTES,
  type SharedFileInfo,
  type SharedFiles,
  type SharedFilesListener,
} from '../contracts.ts';

export interface NatsFilesOptions {
  /** one request to NATS, and the next piece of a file, take at most so long, ms; default 5000 */
  requestMs?: number;
  /** a whole file takes at most so long, ms; default 60,000 */
  fileMs?: number;
  /** how often a watch looks whether it may have missed something, ms; default 10,000 */
  checkMs?: number;
}

/** After a session with NATS could not be begun. */
const RETRY_MS = 1000;
const PIECE_BYTES = 128 * 1024;

/** An object's description, as NATS's object store writes it (ADR-20 of NATS): the part that is read here. */
const descriptionSchema = v.object({
  name: v.pipe(v.string(), v.minLength(1)),
  deleted: v.nullish(v.boolean(), false),
  metadata: v.nullish(v.record(v.string(), v.string()), {}),
});

interface Watch {
  readonly listener: SharedFilesListener;
  ended: boolean;
  /** what the stream held when the session under way was begun */
  state: string;
  /** ends the session under way; another is begun unless the watch has ended */
  endSession(): void;
}

/**
 * Shared files in an object store of NATS JetStream (ADR-20), which any NATS tool can list. The bucket is made when it is
 * missing, with one replica: where there are to be more, make it beforehand (`nats object add BUCKET --replicas 3`).
 *
 * The connection is the caller's: closing it ends the watches.
 */
export class NatsFiles implements SharedFiles {
  readonly #connection: NatsConnection;
  readonly #bucket: string;
  readonly #requestMs: number;
  readonly #fileMs: number;
  readonly #checkMs: number;
  readonly #watches = new Set<Watch>();
  #connected = true;

  /** @param bucket letters, digits, "-" and "_" */
  constructor(connection: NatsConnection, bucket: string, options: NatsFilesOptions = {}) {
    if (!/^[-\w]+$/.test(bucket)) throw new TypeError(`bucket ${bucket}: expected letters, digits, "-" and "_"`);
    this.#connection = connection;
    this.#bucket = bucket;
    this.#requestMs = options.requestMs ?? 5000;
    this.#fileMs = options.fileMs ?? 60_000;
    this.#checkMs = options.checkMs ?? 10_000;
    void this.#followConnection();
  }

  put(key: string, about: Readonly<Record<string, string>>, data: Uint8Array): Promise<void> {
    return this.#call(`put ${key}`, async (store, signal) => {
      if (data.byteLength > MAX_SHARED_FILE_BYTES) throw tooLarge(data.byteLength);
      // Once time is up no more pieces are handed over, and the store drops those it has.
      const pieces = piecesOf(data, () => signal.throwIfAborted());
      await store.put({ name: key, metadata: { ...about } }, pieces, { timeout: this.#requestMs });
    });
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#call(`get ${key}`, async (store) => {
      try {
        return await this.#read(store, key);
      } catch (error) {
        // Replaced meanwhile, its pieces are gone and none comes any more: those of the new file do.
        if (error instanceof StalledError) return this.#read(store, key);
        throw error;
      }
    });
  }

  delete(key: string): Promise<void> {
    return this.#call(`delete ${key}`, async (store) => {
      const info = await store.info(key);
      if (info !== null && !info.deleted) await store.delete(key);
    });
  }

  async watch(listener: SharedFilesListener): Promise<() => void> {
    const watch: Watch = { listener, ended: false, state: '', endSession: () => {} };
    const begin = () => this.#call('watch', () => this.#beginSession(watch));
    this.#watches.add(watch);
    let session: { over: Promise<void> } | undefined = await begin().catch((error: unknown) => {
      this.#watches.delete(watch);
      throw error;
    });
    const goOn = async () => {
      while (!watch.ended && !this.#connection.isClosed()) {
        await session?.over;
        if (watch.ended) return;
        session = await begin().catch(() => undefined);
        if (session === undefined) await delay(RETRY_MS, undefined, { ref: false });
      }
    };
    void goOn();
    const checks = setInterval(() => void this.#check(watch), this.#checkMs).unref();
    return () => {
      watch.ended = true;
      clearInterval(checks);
      this.#watches.delete(watch);
      watch.endSession();
    };
  }

  /**
   * Tells all there is and then what changes; resolves when all has been told. What is missed while the connection is lost
   * another session tells.
   */
  async #beginSession(watch: Watch): Promise<{ over: Promise<void> }> {
    watch.state = await this.#streamState();
    const { consumers } = jetstream(this.#connection, { timeout: this.#requestMs });
    const consumer = await consumers.getPushConsumer(`OBJ_${this.#bucket}`, {
      filter_subjects: `$O.${this.#bucket}.M.>`,
      deliver_policy: DeliverPolicy.LastPerSubject,
    });
    let all: Map<string, SharedFileInfo> | undefined = new Map();
    let told = () => {};
    const allTold = new Promise<void>((resolve) => (told = resolve));
    const tellAll = () => {
      if (all === undefined || watch.ended) return;
      const files = [...all.values()];
      all = undefined;
      watch.listener.handleAll(files);
      told();
    };
    let stopped = false;
    const messages = await consumer.consume({
      callback: (message) => {
        if (stopped || watch.ended) return;
        const info = infoOf(message);
        if (all === undefined) {
          if (info) watch.listener.handleChange(info);
          return;
        }
        if (info) all.set(info.key, info);
        if (message.info.pending === 0) tellAll();
      },
    });
    const over = messages.closed().then(() => {
      stopped = true;
      if (this.#connected) consumer.delete().catch(() => undefined); // else it goes by itself, after minutes
    });
    watch.endSession = () => {
      stopped = true;
      messages.stop();
    };
    if ((await consumer.info(true)).num_pending === 0) tellAll();
    try {
      // Ended while it was being begun: there was no session to end yet.
      if (watch.ended) throw new Error('the watch has ended');
      const cut = over.then(() => Promise.reject(new Error('the connection was lost')));
      await inTime(Promise.race([allTold, cut]), this.#fileMs);
    } catch (error) {
      watch.endSession();
      throw error;
    }
    return { over };
  }

  /**
   * Has all told again when the stream changed. A consumer's messages are not enough: Debian's NATS 2.9.10 skips some when
   * pieces of a file, which the consumer does not follow, are deleted at that moment (nats-server#3838 and #5075 mend such
   * things). A bucket that was deleted shows here too.
   */
  async #check(watch: Watch): Promise<void> {
    try {
      const state = await this.#call('check', () => this.#streamState());
      if (state !== watch.state) watch.endSession();
    } catch {
      // Not reachable just now: whoever wants a file is told.
    }
  }

  /** Changes with every message that comes or goes. */
  async #streamState(): Promise<string> {
    const manager = await jetstreamManager(this.#connection, { timeout: this.#requestMs, checkAPI: false });
    const { created, state } = await manager.streams.info(`OBJ_${this.#bucket}`);
    return [created, state.last_seq, state.messages].join();
  }

  async #read(store: ObjectStore, key: string): Promise<Uint8Array | undefined> {
    const result = await store.get(key);
    if (result === null) return undefined;
    result.error.catch(() => undefined); // the reader throws it too
    const { size } = result.info;
    const reader = result.data.getReader();
    try {
      if (size > MAX_SHARED_FILE_BYTES) throw tooLarge(size);
      const file = new Uint8Array(size);
      let end = 0;
      for (;;) {
        const { done, value } = await inTime(reader.read(), this.#requestMs);
        if (done) break;
        if (end + value.byteLength > size) throw new Error(`more than the ${size} bytes it is said to have`);
        file.set(value, end);
        end += value.byteLength;
      }
      if (end !== size) throw new Error(`${end} bytes, it is said to have ${size}`);
      return file;
    } finally {
      reader.cancel().catch(() => undefined);
    }
  }

  async #followConnection(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === 'disconnect') this.#connected = false;
      if (type !== 'reconnect') continue;
      this.#connected = true;
      for (const watch of this.#watches) watch.endSession();
    }
    this.#connected = false;
    for (const watch of this.#watches) watch.endSession();
  }

  /** Every failure of a task becomes cluster_unavailable. */
  async #call<T>(what: string, task: (store: ObjectStore, signal: AbortSignal) => Promise<T>): Promise<T> {
    const ending = new AbortController();
    try {
      // NATS's client would keep what it is given until the connection is back, after its caller has given up.
      if (!this.#connected) throw new Error('the connection is lost');
      const run = async () => {
        const store = await new Objm(jetstream(this.#connection, { timeout: this.#requestMs })).create(this.#bucket);
        return task(store, ending.signal);
      };
      return await inTime(run(), this.#fileMs);
    } catch (cause) {
      throw unavailable(what, cause as Error);
    } finally {
      ending.abort();
    }
  }
}

/** Nothing came in time. */
class StalledError extends Error {}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new StalledError(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

/** The data in pieces as the store sends them: of one large piece it would copy the rest for each. */
function piecesOf(data: Uint8Array, check: () => void): ReadableStream<Uint8Array> {
  let begin = 0;
  return new ReadableStream({
    pull(controller) {
      check();
      if (begin >= data.byteLength) return controller.close();
      controller.enqueue(data.subarray(begin, begin + PIECE_BYTES));
      begin += PIECE_BYTES;
    },
  });
}

/** undefined for what is no description of an object: other programs may write to the bucket. */
function infoOf(message: JsMsg): SharedFileInfo | undefined {
  let json: unknown;
  try {
    json = message.json();
  } catch {
    return undefined;
  }
  const parsed = v.safeParse(descriptionSchema, json);
  if (!parsed.success) return undefined;
  const { name, deleted, metadata } = parsed.output;
  // Its own time is that of the put, also when it is deleted.
  return { key: name, about: metadata, deleted, changedAtMs: Number(message.timestampNanos / 1_000_000n) };
}

function tooLarge(bytes: number): Error {
  return new Error(`the file has ${bytes} bytes, at most ${MAX_SHARED_FILE_BYTES} are shared`);
}

function unavailable(what: string, cause: Error): FacewireError {
  const isWithoutJetStream =
    cause.name === 'JetStreamNotEnabled' ||
    (cause instanceof JetStreamApiError && cause.code === JetStreamApiCodes.JetStreamNotEnabledForAccount);
  return new FacewireError('cluster_unavailable', `the files that servers share cannot be reached: ${cause.message}`, {
    received: what,
    remedy: isWithoutJetStream
      ? 'start NATS with JetStream: nats-server -js'
      : 'see whether nats-server runs, can be reached and has room, and try again',
    cause,
  });
}
