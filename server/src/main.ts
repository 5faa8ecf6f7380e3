import { FacewireError } from '@facewire/proto';
import { startServer } from './compose.ts';

try {
  const server = await startServer();
  // For people and for programs that start a server; the log itself goes to stderr.
  console.log(`facewire listening on ${server.url}`);
  let closing = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // The second signal does not wait for anybody.
      if (closing) process.exit(1);
      closing = true;
      server.close().then(
        () => process.exit(0),
        (error: unknown) => {
          console.error(error);
          process.exit(1);
        },
      );
    });
  }
} catch (error) {
  if (!(error instanceof FacewireError)) throw error;
  console.error(`facewire cannot start: ${error.message} [${error.code}]`);
  if (error.received !== undefined) console.error(`  received: ${error.received}`);
  if (error.remedy !== undefined) console.error(`  remedy:   ${error.remedy}`);
  process.exit(1);
}
