import { FacewireError } from '@facewire/proto';

/** Why a port could not be opened, in our terms. `variable` is the setting that names the port. */
export function listenError(
  cause: unknown,
  at: { host: string; port: number; variable: 'FACEWIRE_PORT' | 'FACEWIRE_GRPC_PORT' },
): FacewireError {
  const code = (cause as { code?: string } | undefined)?.code ?? String(cause);
  if (/EADDRINUSE/.test(code)) return portInUse(at, cause);
  return new FacewireError('config_invalid', `cannot listen on ${at.host}:${at.port}`, {
    received: code,
    remedy: `set FACEWIRE_HOST to an address of this machine and ${at.variable} to a port that this user may open`,
    cause,
  });
}

export function portInUse(at: { host: string; port: number; variable: string }, cause?: unknown): FacewireError {
  return new FacewireError('port_in_use', `port ${at.port} of ${at.host} is taken by another program`, {
    received: `${at.host}:${at.port}`,
    remedy: `set ${at.variable} to another port (0 picks a free one), or stop the program that holds it`,
    cause,
  });
}
