import { spawnServer } from '@facewire/server/spawn';
import { readOptions, USAGE } from './options.ts';
import { runBots } from './runBots.ts';

try {
  const options = readOptions(process.argv.slice(2));
  const log = (line: string) => console.error(line);
  const server = options.url ? undefined : await spawnServer({ FACEWIRE_DEMO_SEATS: '0', FACEWIRE_LOG: 'warn' });
  try {
    const report = await runBots(options.url?.replace(/\/$/, '') ?? server!.url, options, log);
    console.log(options.json ? JSON.stringify(report) : JSON.stringify(report, null, 2));
  } finally {
    await server?.close();
  }
  process.exit(0);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exit(2);
}
