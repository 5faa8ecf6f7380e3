import { fileURLToPath } from 'node:url';

/** The environment that makes the server, or an engine, take `models/NAME`; without a name whatever is set. */
export function modelPath(name: string | undefined): { FACEWIRE_MODEL?: string } {
  if (name === undefined) return {};
  return { FACEWIRE_MODEL: fileURLToPath(new URL(`../../models/${name}`, import.meta.url)) };
}
