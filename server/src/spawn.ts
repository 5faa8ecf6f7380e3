import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
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

/** How long a server may take until it listens. */
export interface Patience {
  /** altogether, ms; default 60,000 */
  mostMs?: number;
  /** without computing or logging anything, ms; default `mostMs` */
  idleMs?: number;
}

const LOOK_MS = 500;
/** Computing: so much processor time more, in however many looks; on a crowded machine it comes in small pieces. */
const WORK_MS = 100;

/**
 * Starts a server in a process of its own, on free ports of the loopback interface, and waits until it listens: for
 * load tests, browser tests and benches, which must not share the server's event loop.
 *
 * @throws Error with what it logged, when it ends before it listens or patience does; then it is gone
 */
export async function spawnServer(
  env: Readonly<Record<string, string>> = {},
  { mostMs = 60_000, idleMs = mostMs }: Patience = {},
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
    const startedAtMs = performance.now();
    let workedAtMs = startedAtMs;
    let knownCpuMs = 0;
    const look = async () => {
      const cpuMs = (await processorMs(child.pid!)) ?? 0;
      const nowMs = performance.now();
      if (cpuMs - knownCpuMs >= WORK_MS) {
        workedAtMs = nowMs;
        knownCpuMs = cpuMs;
      }
      if (nowMs - startedAtMs < mostMs && nowMs - workedAtMs < idleMs) return;
      clearInterval(timer);
      child.kill('SIGKILL');
      const waited = `${Math.round(nowMs - startedAtMs)} ms`;
      reject(new Error(`the server did not listen within ${waited} (processor time ${cpuMs} ms):\n${output}`));
    };
    const timer = setInterval(look, LOOK_MS);
    const read = (chunk: Buffer) => {
      workedAtMs = performance.now();
      output = (output + chunk.toString()).slice(-200_000);
      const found = /listening on (http:\/\/[^\s"]+)/.exec(output);
      if (found) {
        clearInterval(timer);
        resolve(found[1]!);
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code) => {
      clearInterval(timer);
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

/** Linux counts processor time of a process in these. */
const CLOCK_TICKS_PER_SECOND = 100;

/** Processor time of a process so far, all threads, ms; undefined where the system does not tell. */
export async function processorMs(pid: number): Promise<number | undefined> {
  try {
    // The name, in brackets, may hold anything: fields are counted from behind it. 14 and 15 are utime and stime.
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / CLOCK_TICKS_PER_SECOND;
  } catch {
    return undefined;
  }
}
