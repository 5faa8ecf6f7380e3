import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';

export interface MachineCacheOptions<Value> {
  directory: string;
  /** what a file holds, in its words: "calibration" */
  what: string;
  schema: v.GenericSchema<unknown, Value>;
  warn?: (message: string) => void;
}

/**
 * What was found out about this machine, on disk: one small file for each key. It only saves time: what cannot be read or
 * written is told once and found out again.
 */
export class MachineCache<Key extends Readonly<Record<string, string | number>>, Value> {
  readonly #options: MachineCacheOptions<Value>;

  constructor(options: MachineCacheOptions<Value>) {
    this.#options = options;
  }

  async load(key: Key): Promise<Value | undefined> {
    const { what, schema, warn } = this.#options;
    const path = this.pathOf(key);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') warn?.(`${what} ${path} is ignored: ${error}`);
      return undefined;
    }
    try {
      const file = v.object({
        format: v.literal(1),
        key: v.record(v.string(), v.union([v.string(), v.number()])),
        [what]: v.unknown(),
      });
      const { key: stored, [what]: value } = v.parse(file, JSON.parse(text));
      return JSON.stringify(stored) === JSON.stringify(key) ? v.parse(schema, value) : undefined;
    } catch (error) {
      warn?.(`${what} ${path} is ignored and measured again: ${(error as Error).message}`);
      return undefined;
    }
  }

  async save(key: Key, value: Value): Promise<void> {
    const { what, warn } = this.#options;
    const path = this.pathOf(key);
    try {
      await mkdir(dirname(path), { recursive: true });
      const part = `${path}.${process.pid}.part`;
      await writeFile(part, `${JSON.stringify({ format: 1, key, [what]: value }, null, 1)}\n`);
      await rename(part, path);
    } catch (error) {
      warn?.(`${what} cannot be kept in ${path}: ${(error as Error).message}`);
    }
  }

  pathOf(key: Key): string {
    const hash = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 16);
    return join(this.#options.directory, `${hash}.json`);
  }
}
