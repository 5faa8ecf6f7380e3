/**
 * Builds @facewire/proto and @facewire/client-sdk and packs them for games, as two tarballs.
 *
 *     npm run pack:sdk -- [FOLDER]     default: dist/
 *
 * In the workspace both packages export their sources, so that nothing there waits for a build, and are private, so
 * that nobody publishes them like that. The packed manifests export what `npm run build:sdk` makes of these sources.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Manifest {
  /** by entry, its source: ./src/….ts */
  exports: Record<string, string>;
  private?: boolean;
  devDependencies?: Record<string, string>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const folders = ['proto', 'client-sdk'].map((name) => join(root, name));

/** The manifest as games see it. */
function packedManifest({ exports, private: _, devDependencies: __, ...manifest }: Manifest): object {
  const entries = Object.entries(exports).map(([entry, source]) => {
    const built = source.replace(/^\.\/src\/(.+)\.ts$/, './dist/$1');
    return [entry, { types: `${built}.d.ts`, default: `${built}.js` }] as const;
  });
  return { ...manifest, exports: Object.fromEntries(entries) };
}

/** Packs what a package's `files` name, README.md and LICENSE; the tarball's name. */
function pack(folder: string, into: string): string {
  const stage = mkdtempSync(join(tmpdir(), 'facewire-pack-'));
  try {
    cpSync(folder, stage, { recursive: true, filter: (file) => !/[\\/](node_modules|src)$/.test(file) });
    cpSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
    writeFileSync(join(stage, 'package.json'), `${JSON.stringify(packedManifest(manifest), undefined, 2)}\n`);
    const args = ['pack', '--silent', '--pack-destination', into];
    return execFileSync('npm', args, { cwd: stage, encoding: 'utf8' }).trim();
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

// What an earlier build left of sources that are gone would be packed, too.
for (const folder of folders) rmSync(join(folder, 'dist'), { recursive: true, force: true });
execFileSync('npm', ['run', '--silent', 'build:sdk'], { cwd: root, stdio: 'inherit' });
const into = resolve(process.argv[2] ?? join(root, 'dist'));
mkdirSync(into, { recursive: true });
for (const folder of folders) console.log(join(into, pack(folder, into)));
