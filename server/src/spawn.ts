import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export interface SpawnedServer {
  /** http://127.0.0.1:PORT */
  url: string;
  process: ChildProcess;
  /** everything it logged so far */
  log(): string;
  /** ends it and waits; may be called twice */
  close(): Promise<void>;
}

/**
 * Starts a server in a process of its own, on free ports of the loopback interface, and waits until it listens: for
 * load tests, browser tests and benches, which must not share the server's event loop.
 */
export async function spawnServer(
  env: Readonly<Record<string, string>> = {},
  timeoutMs = 60_000,
): Promise<SpawnedServer> {
  const tsx = createRequire(import.meta.url).resolve('tsx');
  const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const options = ['--require', file('../scripts/threadPool.cjs'), '--import', tsx];
  const child = spawn(process.execPath, [...options, file('main.ts')], {
    env: {
      ...process.env,
      FACEWIRE_HOST: '127.0.0.1',
      FACEWIRE_PORT: '0',
      FACEWIRE_GRPC_PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`the server did not listen within ${timeoutMs} ms:\n${output}`));
    }, timeoutMs);
    const read = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-200_000);
      const found = /listening on (http:\/\/[^\s"]+)/.exec(output);
      if (found) {
        clearTimeout(timer);
        resolve(found[1]!);
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`the server ended with code ${code} before it listened:\n${output}`));
    });
  });
  return {
    url,
    process: child,
    log: () => output,
    close: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(timer);
    },
  };
}
