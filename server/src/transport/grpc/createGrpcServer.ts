import { type ServerControl, serverControlToEnvelope } from '@facewire/proto';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, type ServingStatus } from 'grpc-health-check';
import type { AvatarStore, Metrics, PeerHandler, TransportServer } from '../../contracts.ts';
import type { BodyBudget } from '../BodyBudget.ts';
import { encodeOnce } from '../encodeOnce.ts';
import type { TransportLimits } from '../limits.ts';
import { listenError } from '../listenError.ts';
import { PeerHub } from '../PeerHub.ts';
import type { TransportLog } from '../TransportLog.ts';
import { avatarsService } from './avatarsService.ts';
import { type ConnectCall, GrpcConnection } from './GrpcConnection.ts';
import { AVATARS_SERVICE, FACEWIRE_SERVICE, loadServices } from './loadService.ts';

/** Time for statuses to leave before every connection is cut off. */
const CLOSE_GRACE_MS = 1000;

export interface GrpcServerOptions {
  host: string;
  /** 0 picks a free port */
  port: number;
  handler: PeerHandler;
  avatars: AvatarStore;
  limits?: Partial<TransportLimits>;
  /** of the portraits of all calls; default one of its own by `limits` */
  bodies?: BodyBudget;
  log?: TransportLog;
  metrics?: Metrics;
}

export interface GrpcServer extends TransportServer {
  /** peers connected now */
  readonly peers: number;
  /** what the standard health service answers for the server and both services */
  setServing(serving: boolean): void;
}

/**
 * gRPC without TLS: Connect (all that the WebSocket does), the avatars service, health and reflection. Throws
 * port_in_use, and config_invalid when the address cannot be opened.
 */
export async function createGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { host, port } = options;
  const hub = new PeerHub(options);
  const { limits, log } = hub;
  const services = loadServices();
  const encode = encodeOnce((message: ServerControl) =>
    services.encodeServerEnvelope(serverControlToEnvelope(message)),
  );
  const server = new Server({
    // One limit for all services: portraits are the longest messages. Connect's own is the session's.
    'grpc.max_receive_message_length': limits.maxBodyBytes + 64 * 1024,
    'grpc.max_send_message_length': -1,
    // All peers may share one connection (bots do), each with a stream as long as it stays; pings find out when it is dead.
    'grpc.max_concurrent_streams': limits.maxPeers + 64,
    'grpc.keepalive_time_ms': Math.ceil(limits.idleTimeoutMs / 2),
    'grpc.keepalive_timeout_ms': Math.ceil(limits.idleTimeoutMs / 2),
  });
  server.addService(services.facewire, {
    Connect: (call: ConnectCall) => new GrpcConnection(call, services, hub, encode).start(),
  });
  server.addService(services.avatars, avatarsService(options.avatars, hub.bodies, log));
  const health = new HealthImplementation();
  health.addToServer(server);
  new ReflectionService(services.packageDefinition).addToServer(server);

  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, boundPort) => {
      if (error === null) resolve(boundPort);
      else reject(listenError(error, { host, port, variable: 'FACEWIRE_GRPC_PORT' }));
    });
  });
  let told: boolean | undefined;
  const setServing = (serving: boolean): void => {
    // Those who watch hear of changes only.
    if (serving === told) return;
    told = serving;
    const status: ServingStatus = serving ? 'SERVING' : 'NOT_SERVING';
    for (const name of ['', FACEWIRE_SERVICE, AVATARS_SERVICE]) health.setStatus(name, status);
  };
  setServing(true);
  log.info({ host, port: bound }, 'listening for gRPC');

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    setServing(false);
    hub.closeAll();
    await new Promise<void>((resolve) => {
      const cutOff = setTimeout(() => {
        server.forceShutdown();
        resolve();
      }, CLOSE_GRACE_MS);
      server.tryShutdown(() => {
        clearTimeout(cutOff);
        resolve();
      });
    });
  };
  return {
    port: bound,
    get peers() {
      return hub.size;
    },
    setServing,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
