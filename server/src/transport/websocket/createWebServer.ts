import { FacewireError } from '@facewire/proto';
import { PeerHub } from '../PeerHub.ts';
import { createUwsServer } from './uwsAdapter.ts';
import { loadUws } from './uwsModule.ts';
import type { WebServer, WebServerOptions } from './WebServer.ts';
import { createWsServer } from './wsAdapter.ts';

/**
 * Opens one port for HTTP and WebSocket (/connect). Throws port_in_use, and config_invalid when uWebSockets.js is asked
 * for and not installed or when the address cannot be opened.
 */
export async function createWebServer(options: WebServerOptions): Promise<WebServer> {
  const { host, port, http } = options;
  const wanted = options.adapter ?? 'auto';
  const uws = wanted === 'ws' ? undefined : await loadUws();
  if (uws === undefined && wanted === 'uws') {
    throw new FacewireError('config_invalid', 'uWebSockets.js was asked for and is not installed', {
      received: 'FACEWIRE_WEBSOCKET=uws',
      remedy: 'leave FACEWIRE_WEBSOCKET out to use ws, or install uWebSockets.js',
    });
  }
  const hub = new PeerHub(options);
  const server = await (uws === undefined ? createWsServer : createUwsServer(uws))({ host, port, http, hub });
  hub.log.info({ adapter: server.adapter, host, port: server.port }, 'listening for HTTP and WebSocket');
  return server;
}
