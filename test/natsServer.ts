import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Debian's package nats-server */
export const natsServerIsThere = spawnSync('nats-server', ['--version']).status === 0;
export const NATS_SERVER_MISSING = 'nats-server is missing: apt-get install nats-server';

export interface NatsServerOptions {
  /** default true */
  jetStream?: boolean;
  /** USER:PASSWORD that it asks for; default none */
  credentials?: string;
}

export interface NatsServer {
  /** nats://[USER:PASSWORD@]127.0.0.1:PORT, the same after a restart */
  url: string;
  /** Ends the process; what JetStream keeps stays. */
  stop(): Promise<void>;
  /** @param credentials USER:PASSWORD to ask for from now on; default those of the beginning */
  start(credentials?: string): Promise<void>;
  /** Lets it answer nothing until goOn(). */
  pause(): void;
  goOn(): void;
  /** Ends the process and removes what it kept. May be called twice. */
  close(): Promise<void>;
}

/** Starts a nats-server on a free port of the loopback interface, which keeps its files in a folder of its own. */
export async function startNatsServer({ jetStream = true, credentials }: NatsServerOptions = {}): Promise<NatsServer> {
  const directory = await mkdtemp(join(tmpdir(), 'facewire-nats-'));
  let child: ChildProcess | undefined;
  let port = -1; // it picks one

  async function start(wanted = credentials): Promise<void> {
    const [user, password] = wanted?.split(':') ?? [];
    const started = spawn(
      'nats-server',
      [
        ...['-a', '127.0.0.1', '-p', String(port), '--ports_file_dir', directory],
        ...(jetStream ? ['-js', '-sd', join(directory, 'js')] : []),
        ...(wanted ? ['--user', user!, '--pass', password!] : []),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    child = started;
    let output = '';
    await new Promise<void>((resolve, reject) => {
      started.stderr.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (output.includes('Server is ready')) resolve();
      });
      started.once('error', reject);
      started.once('exit', (code) => reject(new Error(`nats-server ended with code ${code}:\n${output}`)));
    });
    port = Number(new URL(await clientUrl(directory)).port);
  }

  async function stop(): Promise<void> {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exited = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGTERM');
    await exited;
  }

  await start();
  return {
    url: `nats://${credentials ? `${credentials}@` : ''}127.0.0.1:${port}`,
    start,
    stop,
    pause: () => void child?.kill('SIGSTOP'),
    goOn: () => void child?.kill('SIGCONT'),
    close: async () => {
      await stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** It writes its ports into a file shortly after it is ready. */
async function clientUrl(directory: string): Promise<string> {
  for (let tries = 0; tries < 100; tries++) {
    const file = (await readdir(directory)).find((name) => name.endsWith('.ports'));
    const text = file && (await readFile(join(directory, file), 'utf8').catch(() => ''));
    if (text) return (JSON.parse(text) as { nats: string[] }).nats[0]!;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('nats-server did not write its ports');
}
