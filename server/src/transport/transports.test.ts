import { describe } from 'vitest';
import { createGrpcServer } from './grpc/createGrpcServer.ts';
import { PeerHub } from './PeerHub.ts';
import { describePeerConformance } from './peer.conformance.ts';
import { connectGrpc } from './testing/grpcTestClient.ts';
import { MemoryAvatarStore } from './testing/MemoryAvatarStore.ts';
import { uwsDouble } from './testing/uwsDouble.ts';
import { createWebServer } from './websocket/createWebServer.ts';
import { createUwsServer } from './websocket/uwsAdapter.ts';
import { loadUws } from './websocket/uwsModule.ts';
import { describeWebConformance } from './webTransport.conformance.ts';

describe('ws', () => {
  describeWebConformance({
    create: (options) => createWebServer({ ...options, adapter: 'ws' }),
    shortIdleTimes: true,
  });
});

describe.runIf((await loadUws()) !== undefined)('uWebSockets.js', () => {
  describeWebConformance({
    create: (options) => createWebServer({ ...options, adapter: 'uws' }),
    shortIdleTimes: false,
  });
});

describe('the uWebSockets.js adapter, on a double of it', () => {
  describeWebConformance({
    create: ({ host, port, http, ...options }) =>
      createUwsServer(uwsDouble)({ host, port, http, hub: new PeerHub(options) }),
    shortIdleTimes: false,
  });
});

describe('gRPC', () => {
  describePeerConformance({
    start: (options) => createGrpcServer({ host: '127.0.0.1', port: 0, avatars: new MemoryAvatarStore(), ...options }),
    connect: connectGrpc,
  });
});
