import { FacewireError } from '@facewire/proto';
import { animate } from './animate.ts';
import { readOptions, USAGE } from './options.ts';

try {
  const report = await animate(readOptions(process.argv.slice(2)), (line) => process.stderr.write(`\r${line}`));
  process.stderr.write('\n');
  console.log(JSON.stringify(report));
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof FacewireError && error.remedy) console.error(`remedy: ${error.remedy}`);
  if (error instanceof TypeError || error instanceof RangeError) console.error(`\n${USAGE}`);
  process.exit(2);
}
