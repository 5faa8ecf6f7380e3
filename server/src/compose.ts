import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PROTOCOL_VERSION } from '@facewire/proto';
import { destination, pino, stdTimeFunctions } from 'pino';
import { NatsBus, NatsFiles, RoomExchange } from './cluster/index.ts';
import { type Config, readConfig } from './config.ts';
import { createEncoderFactory } from './encoder/index.ts';
import { type Engine, openEngine } from './engine.ts';
import { LatestFrameFanOut } from './fanout/index.ts';
import { residencyMetrics, residencyOf } from './inference/index.ts';
import { MetricsRegistry } from './metrics/index.ts';
import { createMotionDecoder } from './motionDecoder.ts';
import { HouseBots, RoomRegistry } from './room/index.ts';
import { FrameScheduler } from './scheduler/index.ts';
import {
  BodyBudget,
  createGrpcServer,
  createHttpHandler,
  createWebServer,
  DEFAULT_LIMITS,
  type GrpcServer,
  type Health,
} from './transport/index.ts';

export interface RunningServer {
  /** http://host:port; the WebSocket is at /connect */
  readonly url: string;
  readonly port: number;
  /** undefined when gRPC is off */
  readonly grpcPort: number | undefined;
  readonly engine: Engine;
  readonly metrics: MetricsRegistry;
  /** Says goodbye to every peer, stops the stages in the order of a packet's way, and releases the model. May be called twice. */
  close(): Promise<void>;
}

/** how often the gRPC health service is told whether the device draws */
const HEALTH_LOOK_MS = 500;
/** by when the other servers of a cluster have told who is there */
const FIRST_ANSWERS_MS = 200;

const roomPage = fileURLToPath(new URL('../../examples/room/dist', import.meta.url));

/** Wires the stages of contracts.ts. Throws FacewireError: config_invalid, cluster_unavailable, model_…, device_unavailable, port_in_use. */
export async function startServer(config: Config = readConfig(process.env)): Promise<RunningServer> {
  const log = pino({ level: config.logLevel, base: null, timestamp: stdTimeFunctions.isoTime }, destination(2));
  const metrics = new MetricsRegistry();
  const warn = (message: string) => log.warn({}, message);
  const bus = config.cluster === '' ? undefined : await NatsBus.connect({ url: config.cluster, warn });
  const shared = bus && new NatsFiles(bus.connection, `${config.clusterName}-avatars`);
  const engine = await openEngine(config, { log, early: true, ...(shared && { shared }) }).catch(
    async (error: unknown) => {
      await bus?.close();
      throw error;
    },
  );
  metrics.addSource(() => residencyMetrics(engine.renderer));
  const closers: (() => Promise<void> | void)[] = [() => bus?.close(), () => engine.close()];
  let closing = false;
  let grpc: GrpcServer | undefined;
  const close = async () => {
    closing = true;
    grpc?.setServing(false);
    // Whoever waits with an upload is told before the connection goes; engine.close() waits for those in work.
    void engine.avatars.close();
    // The last opened is closed first: no stage loses what it calls before it is stopped.
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    const encoders = await createEncoderFactory({ warn });
    const fanOut = new LatestFrameFanOut({ metrics });
    // Servers that were started earlier come first: what one does for all of them stays with it when others come.
    const server = `${Date.now().toString(36)}${randomBytes(2).toString('hex')}`;
    const rooms = new RoomRegistry({
      ...(bus && { idPrefix: `${server}-` }),
      avatars: engine.avatars,
      codecs: encoders.codecs,
      sizes: engine.renderer.sizes,
      fanOut,
      metrics,
      createMotionDecoder,
      rooms: [config.demoRoom],
      createRooms: config.openRooms === 'yes',
    });
    const scheduler = new FrameScheduler({
      source: rooms,
      renderer: engine.renderer,
      encoders,
      fanOut,
      metrics,
      log,
      ticksPerSecond: config.tickRate,
    });
    scheduler.start();
    closers.push(() => scheduler.close());
    const status = (): Health['status'] => {
      if (closing) return 'closing';
      return scheduler.deviceFails ? 'degraded' : 'ok';
    };

    const exchange =
      bus && new RoomExchange({ bus, rooms: rooms.directory, server, cluster: config.clusterName, metrics, warn });
    if (exchange) {
      exchange.start();
      closers.push(() => exchange.close());
      // So that nobody sees bots come and go at once.
      await setTimeout(FIRST_ANSWERS_MS);
    }
    const bots = new HouseBots({
      registry: rooms,
      room: config.demoRoom,
      seats: config.demoSeats,
      avatars: () => engine.avatars.list().filter((avatar) => avatar.builtIn),
      mayFill: () => exchange?.isFirst ?? true,
    });
    bots.start();
    closers.push(() => bots.close());
    exchange?.onServersChanged(() => bots.refresh());

    // One for both ports: it is one machine's memory.
    const bodies = new BodyBudget(DEFAULT_LIMITS.maxBodyBytesAtOnce);
    if (config.grpcPort >= 0) {
      const opened = await createGrpcServer({
        host: config.host,
        port: config.grpcPort,
        handler: rooms,
        avatars: engine.avatars,
        bodies,
        log,
        metrics,
      });
      grpc = opened;
      closers.push(() => opened.close());
      // HTTP asks for the status, gRPC is told: its clients may watch it.
      const telling = setInterval(() => opened.setServing(status() === 'ok'), HEALTH_LOOK_MS);
      closers.push(() => clearInterval(telling));
    }
    const grpcPort = grpc?.port;
    const startedAtMs = performance.now();
    const web = await createWebServer({
      host: config.host,
      port: config.port,
      adapter: config.webSocket,
      handler: rooms,
      bodies,
      log,
      metrics,
      http: createHttpHandler({
        avatars: engine.avatars,
        health: () => ({
          status: status(),
          protocol: PROTOCOL_VERSION,
          model: engine.renderer.model,
          device: engine.renderer.device,
          sizes: engine.renderer.sizes,
          codecs: encoders.codecs,
          grpcPort,
          webSocket: web.adapter,
          uptimeSeconds: Math.round((performance.now() - startedAtMs) / 1000),
          ...rooms.snapshot(),
          ...(bus && {
            cluster: { name: config.clusterName, server, connected: bus.connected, servers: exchange!.others + 1 },
          }),
          residency: residencyOf(engine.renderer),
          timings: metrics.snapshot().histograms,
        }),
        metrics: () => metrics.prometheusText(),
        rooms: () => rooms.list(),
        staticMounts: [{ prefix: '/', directory: roomPage }],
        log,
      }),
    });
    closers.push(() => web.close());
    const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${web.port}`;
    log.info(
      {
        model: engine.renderer.model,
        device: engine.renderer.device,
        webSocket: web.adapter,
        codecs: encoders.codecs,
        grpcPort,
      },
      'ready',
    );
    return { url, port: web.port, grpcPort, engine, metrics, close };
  } catch (error) {
    await close();
    throw error;
  }
}
