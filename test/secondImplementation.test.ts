import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

const python = ['python3', 'python'].find((name) => {
  const { stdout } = spawnSync(name, ['-c', 'import sys; print(sys.version_info >= (3, 11))'], { encoding: 'utf8' });
  return stdout?.trim() === 'True';
});

it.skipIf(python === undefined)(
  'the Python implementation writes and reads the golden packets',
  () => {
    const { status, stderr } = spawnSync(python!, ['-m', 'unittest', 'discover', '-s', 'test/python'], {
      cwd: new URL('..', import.meta.url).pathname,
      encoding: 'utf8',
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    });
    expect(stderr).toContain('OK');
    expect(status).toBe(0);
  },
  60_000,
);
