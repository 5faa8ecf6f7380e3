import { fileURLToPath } from 'node:url';

/** For programs on Node only; browsers import the main entry. */

/** Absolute path of the folder that holds facewire.proto. */
export const PROTO_DIR = fileURLToPath(new URL('..', import.meta.url));

/** Absolute path of facewire.proto. */
export const PROTO_FILE = fileURLToPath(new URL('../facewire.proto', import.meta.url));
