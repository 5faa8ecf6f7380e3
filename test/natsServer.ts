import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const NATS_SERVER = process.env.FACEWIRE_NATS_SERVER ?? 'nats-server';

export const natsPresent = (() => {
  try {
    execFileSync(NATS_SERVER, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

export const NATS_MISSING = `${NATS_SERVER} is missing: apt-get install nats-server, or set FACEWIRE_NATS_SERVER`;

export interface NatsServer {
  /** nats://127.0.0.1:PORT */
  readonly url: string;
  /** Ends the process at once, as a machine that loses power does; files and port stay for start(). */
  kill(): Promise<void>;
  /** Again on the same port, with the same files. */
  start(): Promise<void>;
  /** Ends it and removes its files. May be called twice. */
  close(): Promise<void>;
}

export interface NatsServerOptions {
  /** default true */
  jetStream?: boolean;
  /** user:password that it asks for */
  credentials?: string;
}

/** A NATS server of the test's own on the loopback interface. */
export async function startNatsServer({ jetStream = true, credentials }: NatsServerOptions = {}): Promise<NatsServer> {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'facewire-nats-'));
  const [user, pass] = credentials?.split(':') ?? [];
  const options = [
    ...['-a', '127.0.0.1', '-p', String(port)],
    ...(jetStream ? ['-js', '-sd', directory] : []),
    ...(credentials ? ['--user', user!, '--pass', pass!] : []),
  ];
  let child: ChildProcess | undefined;
  const start = async () => {
    const started = spawn(NATS_SERVER, options, { stdio: ['ignore', 'ignore', 'pipe'] });
    child = started;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      started.stderr.on('data', (chunk: Buffer) => {
        log += chunk.toString();
        if (log.includes('Server is ready')) resolve();
      });
      started.once('exit', () => reject(new Error(`nats-server ended:\n${log}`)));
    });
  };
  const kill = async () => {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null) return;
    const gone = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await gone;
  };
  await start();
  return {
    url: `nats://${credentials ? `${credentials}@` : ''}127.0.0.1:${port}`,
    kill,
    start,
    close: async () => {
      await kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
