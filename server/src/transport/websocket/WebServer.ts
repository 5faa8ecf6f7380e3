import type { HttpHandler, Metrics, PeerHandler, TransportServer } from '../../contracts.ts';
import type { BodyBudget } from '../BodyBudget.ts';
import type { TransportLimits } from '../limits.ts';
import type { PeerHub } from '../PeerHub.ts';
import type { TransportLog } from '../TransportLog.ts';

/** Where WebSockets connect; everything else on the port is HTTP. */
export const CONNECT_PATH = '/connect';

export type WebAdapterName = 'uws' | 'ws';

export interface WebServerOptions {
  host: string;
  /** 0 picks a free port */
  port: number;
  handler: PeerHandler;
  http: HttpHandler;
  limits?: Partial<TransportLimits>;
  /** of the bodies of all requests; default one of its own by `limits` */
  bodies?: BodyBudget;
  /** `auto` takes uWebSockets.js when it is installed, else ws */
  adapter?: 'auto' | WebAdapterName;
  log?: TransportLog;
  metrics?: Metrics;
}

export interface WebServer extends TransportServer {
  readonly adapter: WebAdapterName;
  /** peers connected now */
  readonly peers: number;
}

/** One adapter: opens the port, turns connections into wires for the hub and requests into calls of the handler. */
export type WebAdapter = (options: {
  host: string;
  port: number;
  http: HttpHandler;
  hub: PeerHub;
}) => Promise<WebServer>;
