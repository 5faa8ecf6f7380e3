import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { FileAvatarStore } from './FileAvatarStore.ts';

const portraitSchema = v.object({
  id: v.string(),
  name: v.string(),
  landmarks: v.pipe(v.array(v.pipe(v.tuple([v.number(), v.number()]), v.readonly())), v.length(68)),
});

/**
 * Lists the server's own avatars in the store: the portraits in a directory (`<id>.jpg` with `<id>.json`: id, name,
 * landmarks in pixels). They are made when they are first loaded, where they are missing or where portrait or model
 * changed. A portrait that cannot be read is reported and skipped.
 *
 * @param directory e.g. models/portraits
 * @returns ids of the built-in avatars that are there now, in the portraits' order
 */
export async function addBuiltIns(
  store: FileAvatarStore,
  directory: string,
  warn: (message: string) => void = () => {},
): Promise<string[]> {
  const files = await readdir(directory).catch((error: Error) => {
    warn(`no built-in portraits: ${error.message}`);
    return [];
  });
  const ids: string[] = [];
  for (const file of files.filter((name) => name.endsWith('.json')).sort()) {
    try {
      const { id, name, landmarks } = v.parse(
        portraitSchema,
        JSON.parse(await readFile(join(directory, file), 'utf8')),
      );
      store.addBuiltIn(await readFile(join(directory, file.replace(/\.json$/, '.jpg'))), {
        id,
        name,
        landmarks,
      });
      ids.push(id);
    } catch (error) {
      warn(`built-in portrait ${join(directory, file)} skipped: ${(error as Error).message}`);
    }
  }
  return ids;
}
