import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Rollup } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LandmarkReader } from '../../client-sdk/src/landmarks/index.ts';
import { spawnServer } from '../../server/src/spawn.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const modules = join(root, 'node_modules');

/** What the packages need at run time: installed from this repository's copies, so that no registry is asked. */
const DEPENDENCIES = ['msgpackr', 'valibot'];
/** What a game has of its own, or adds for types and gRPC. */
const PEERS = ['three', '@types', '@grpc', 'ws'];

/** What a game declares around README's snippet. */
const WORLD = `import type { PerspectiveCamera, Scene, WebGLRenderer } from 'three';
declare const scene: Scene, camera: PerspectiveCamera, renderer: WebGLRenderer;
`;

/** What a game declares around the SDK's snippet about landmarks. */
const TRACKER = `import type { AvatarClient } from '@facewire/client-sdk';
declare const client: AvatarClient;
declare const tracker: { onResult: (points: [number, number][] | undefined, timeMs: number) => void };
`;

/** And around the SDK's own of a headset. */
const HEADSET_WORLD = `import type { AvatarClient } from '@facewire/client-sdk';
import type {} from 'three';
declare const client: AvatarClient, audio: AudioContext;
`;

/** A program on Node: waits for a bot's first frame and prints who else is in the room. */
const VIEWER = `import { AvatarClient } from '@facewire/client-sdk';
import { GrpcTransport } from '@facewire/client-sdk/grpc';
import WebSocket from 'ws';

const [kind, address] = process.argv.slice(2) as ['ws' | 'grpc', string];
const way = kind === 'ws' ? { url: address, WebSocket } : { transport: () => new GrpcTransport({ address }) };
const client = new AvatarClient({ ...way, room: 'lobby', role: 'viewer', name: 'Ann' });
const firstFrame = new Promise<void>((resolve) => {
  client.on('participantJoined', ({ id, bot }) => {
    if (bot) client.subscribe(id, { size: 128, framesPerSecond: 10 }).on('frame', () => resolve());
  });
});
await client.connect();
await firstFrame;
console.log(JSON.stringify([...client.participants.values()]));
client.close();
`;

/** A program on Node: reads a frame of landmarks with the weights that the package holds. */
const READER = `import { readFileSync } from 'node:fs';
import { LandmarkReader } from '@facewire/client-sdk/landmarks';

const points = JSON.parse(readFileSync(process.argv[2]!, 'utf8')).points[0] as number[];
const reader = await LandmarkReader.load();
console.log(JSON.stringify(reader.read(points, { timeMs: 0 }).pose));
`;

/** The check sees the packages' types: were they `any`, nothing would be wrong here, which fails it. */
const WRONG = `import { AvatarClient } from '@facewire/client-sdk';
import { AvatarScreen } from '@facewire/client-sdk/three';
import { GrpcTransport } from '@facewire/client-sdk/grpc';
import { LandmarkReader } from '@facewire/client-sdk/landmarks';
import { neutralMotion } from '@facewire/proto';
// @ts-expect-error
new AvatarClient(1);
// @ts-expect-error
new AvatarScreen(1);
// @ts-expect-error
new GrpcTransport(1);
// @ts-expect-error
LandmarkReader.load(1);
// @ts-expect-error
neutralMotion().pose = 1;
`;

/** A TypeScript project's settings, strict, the packages' declarations checked with it. */
function tsconfig(module: string, moduleResolution: string): object {
  const strict = { strict: true, skipLibCheck: false, target: 'ES2022', lib: ['ES2022', 'DOM', 'DOM.Iterable'] };
  return { compilerOptions: { ...strict, module, moduleResolution, types: ['node'] }, include: ['*.ts'] };
}

/** The first TypeScript of a page, or of its section `heading`. */
function snippet(page: string, heading = ''): string {
  const text = readFileSync(join(root, page), 'utf8');
  return /```ts\n(.*?)```/s.exec(text.slice(text.indexOf(heading)))![1]!;
}

const folder = mkdtempSync(join(tmpdir(), 'facewire-game-'));
const game = join(folder, 'game');

/** Runs a program in the game's folder; what it printed. Throws with that, too, when it fails. */
function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { cwd: game, encoding: 'utf8', timeout: 300_000 });
}

const tsc = (...args: string[]) => run(process.execPath, join(modules, 'typescript/bin/tsc'), ...args);

function packed(name: string): string {
  return join(folder, `facewire-${name}-0.1.0.tgz`);
}

describe('the packed SDK in a game outside this repository', () => {
  beforeAll(() => {
    execFileSync('npm', ['run', '--silent', 'pack:sdk', '--', folder], { cwd: root, encoding: 'utf8' });
    mkdirSync(game);
    const write = (name: string, text: string) => writeFileSync(join(game, name), text);
    write('package.json', JSON.stringify({ name: 'game', private: true, type: 'module' }));
    const options = ['--offline', '--install-links', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
    const dependencies = DEPENDENCIES.map((name) => join(modules, name));
    run('npm', 'install', ...options, packed('proto'), packed('client-sdk'), ...dependencies);
    for (const name of PEERS) symlinkSync(join(modules, name), join(game, 'node_modules', name));
    write('game.ts', WORLD + snippet('README.md', '## Use it in your game'));
    write('headset.ts', HEADSET_WORLD + snippet('client-sdk/README.md', '## Play in VR'));
    write('codec.ts', snippet('proto/README.md'));
    write('viewer.ts', VIEWER);
    write('reader.ts', READER);
    write('landmarks.ts', TRACKER + snippet('client-sdk/README.md', '## From landmarks'));
    write('wrong.ts', WRONG);
    write('tsconfig.bundler.json', JSON.stringify(tsconfig('ESNext', 'bundler')));
    write('tsconfig.nodenext.json', JSON.stringify(tsconfig('NodeNext', 'nodenext')));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['proto', 'client-sdk'])(
    '%s holds JavaScript, declarations and what its code reads, and nothing else',
    (name) => {
      const files = execFileSync('tar', ['-tzf', packed(name)], { encoding: 'utf8' })
        .trim()
        .split('\n');
      const built = /^package\/dist\/(?!.*(\.test\.|testing\/)).+(\.js|\.js\.map|\.d\.ts)$/;
      const others = files.filter((file) => !built.test(file)).sort();
      const documents = ['package/LICENSE', 'package/README.md', 'package/package.json'];
      expect(others).toEqual(name === 'proto' ? [...documents, 'package/facewire.proto'].sort() : documents);
    },
  );

  it.each(['proto', 'client-sdk'])('%s may be published, and every entry that it names exists', (name) => {
    const home = join(game, 'node_modules/@facewire', name);
    const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
    const source = JSON.parse(readFileSync(join(root, name, 'package.json'), 'utf8'));
    expect(manifest).not.toHaveProperty('private');
    expect(manifest).not.toHaveProperty('devDependencies');
    expect(manifest.dependencies).toEqual(source.dependencies);
    expect(manifest.peerDependencies).toEqual(source.peerDependencies);
    expect(Object.keys(manifest.exports)).toEqual(Object.keys(source.exports));
    const targets = Object.values<{ types: string; default: string }>(manifest.exports).flatMap((each) => [
      each.types,
      each.default,
    ]);
    expect(targets.filter((file) => !existsSync(join(home, file)))).toEqual([]);
  });

  it.each(['bundler', 'nodenext'])(
    'README’s snippets pass a strict type check with moduleResolution %s',
    (resolution) => {
      tsc('-p', `tsconfig.${resolution}.json`, '--noEmit');
    },
  );

  it('README’s viewer becomes one bundle for browsers, without gRPC', async () => {
    const lib = { entry: join(game, 'game.ts'), formats: ['es' as const], fileName: 'game' };
    const outputs = (await build({
      configFile: false,
      root: game,
      logLevel: 'warn',
      build: { lib, target: 'es2023', outDir: 'bundle' },
    })) as Rollup.RollupOutput[];
    const chunks = outputs.flatMap(({ output }) => output).filter((each) => each.type === 'chunk');
    expect(chunks.map(({ imports, dynamicImports }) => [...imports, ...dynamicImports])).toEqual([[]]);
    expect(chunks[0]!.moduleIds.filter((id) => /grpc|node:/.test(id))).toEqual([]);
    expect(chunks[0]!.moduleIds).toContain(join(game, 'node_modules/@facewire/client-sdk/dist/three/AvatarScreen.js'));
  });

  it('a reader of landmarks is a small bundle, and its weights a chunk that is fetched when they are wanted', async () => {
    const lib = { entry: join(game, 'landmarks.ts'), formats: ['es' as const], fileName: 'landmarks' };
    const outputs = (await build({
      configFile: false,
      root: game,
      logLevel: 'warn',
      build: { lib, target: 'es2023', outDir: 'reader' },
    })) as Rollup.RollupOutput[];
    const chunks = outputs.flatMap(({ output }) => output).filter((each) => each.type === 'chunk');
    const entry = chunks.find(({ isEntry }) => isEntry)!;
    expect(entry.dynamicImports).toEqual([chunks.find(({ isEntry }) => !isEntry)!.fileName]);
    expect(entry.code.length).toBeLessThan(150_000);
    expect(chunks.flatMap(({ moduleIds }) => moduleIds).filter((id) => /grpc|three|node:/.test(id))).toEqual([]);
  });

  it('plain Node reads landmarks with it as the workspace does', async () => {
    tsc('-p', 'tsconfig.nodenext.json', '--outDir', 'built', '--noCheck');
    const golden = join(root, 'client-sdk/src/landmarks/golden.json');
    const pose = JSON.parse(run(process.execPath, 'built/reader.js', golden));
    const { points } = JSON.parse(readFileSync(golden, 'utf8')) as { points: number[][] };
    const reader = await LandmarkReader.load(readFileSync(join(root, 'models/landmarks/landmarks.bin')));
    expect(pose).toEqual(reader.read(points[0]!, { timeMs: 0 }).pose);
  });

  it('plain Node runs it: a viewer sees who is in the room, and their frames, by WebSocket and by gRPC', async () => {
    tsc('-p', 'tsconfig.nodenext.json', '--outDir', 'built', '--noCheck');
    run(process.execPath, 'built/codec.js');
    const env = {
      FACEWIRE_DATA: join(folder, 'data'),
      FACEWIRE_DEVICE: 'cpu',
      FACEWIRE_MODEL: join(root, 'models/warp'),
      FACEWIRE_DEMO_SEATS: '2',
    };
    const server = await spawnServer(env, { mostMs: 180_000 });
    try {
      const { grpcPort } = (await (await fetch(`${server.url}/health`)).json()) as { grpcPort: number };
      const addresses = { ws: `${server.url.replace('http', 'ws')}/connect`, grpc: `127.0.0.1:${grpcPort}` };
      for (const [kind, address] of Object.entries(addresses)) {
        const others = JSON.parse(run(process.execPath, 'built/viewer.js', kind, address)) as { bot: boolean }[];
        expect(others.map(({ bot }) => bot)).toEqual([true, true]);
      }
    } finally {
      await server.close();
    }
  });
});
