import { createRequire } from 'node:module';
import { ERROR_CODES, FacewireError } from '@facewire/proto';
import { type Client, type MethodDefinition, type ServiceDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { service as healthService } from 'grpc-health-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AvatarInfo } from '../../contracts.ts';
import { BodyBudget } from '../BodyBudget.ts';
import { SILENT_LOG } from '../TransportLog.ts';
import { callUnary, grpcClient, services } from '../testing/grpcTestClient.ts';
import { MemoryAvatarStore } from '../testing/MemoryAvatarStore.ts';
import { RecordingHandler } from '../testing/RecordingHandler.ts';
import { createGrpcServer, type GrpcServer } from './createGrpcServer.ts';
import { grpcStatusOf, toGrpcStatus } from './grpcStatus.ts';

type AnyMethod = MethodDefinition<object, object>;

let server: GrpcServer;
let client: Client;
let avatars: MemoryAvatarStore;
let bodies: BodyBudget;
const log = { ...SILENT_LOG, error: vi.fn() };

beforeEach(async () => {
  avatars = new MemoryAvatarStore();
  log.error.mockClear();
  const handler = new RecordingHandler();
  bodies = new BodyBudget(250_000);
  server = await createGrpcServer({ host: '127.0.0.1', port: 0, handler, avatars, bodies, log });
  client = grpcClient(server.port);
});

afterEach(async () => {
  client.close();
  await server.close();
});

function call<Response>(method: string, request: object): Promise<Response> {
  return callUnary<Response>(client, services.avatars[method] as AnyMethod, request);
}

const points = Array.from({ length: 68 }, (_, index) => ({ x: index, y: index / 2 }));

describe('the avatars service', () => {
  it('creates, lists, shows and deletes', async () => {
    const portrait = Buffer.alloc(100_000, 7);
    const created = await call<AvatarInfo>('CreateAvatar', { name: 'Ada', portrait, landmarks: points });
    expect(created).toMatchObject({ id: 'avatar-1', name: 'Ada', createdAt: '2026-01-31T12:00:00.000Z' });
    expect(avatars.kept.get('avatar-1')?.landmarks).toEqual(points.map(({ x, y }) => [x, y]));
    expect(await call('ListAvatars', {})).toMatchObject({ avatars: [{ id: 'avatar-1' }] });
    const shown = await call<{ portrait: Buffer }>('GetAvatar', { id: 'avatar-1', portrait: true });
    expect(Buffer.compare(shown.portrait, portrait)).toBe(0);
    expect(await call('GetAvatar', { id: 'avatar-1' })).not.toHaveProperty('portrait');
    await call('DeleteAvatar', { id: 'avatar-1' });
    expect(avatars.list()).toEqual([]);
  });

  it('answers errors with a status, the code in front of the details, and the parts as metadata', async () => {
    const error = await call('GetAvatar', { id: 'nobody' }).catch((each: unknown) => each);
    expect(error).toMatchObject({ code: status.NOT_FOUND });
    const { details, metadata } = error as ReturnType<typeof toGrpcStatus>;
    expect(details).toMatch(/^avatar_unknown: .*received nobody.*GET \/api\/avatars/);
    expect(metadata.get('facewire-code')).toEqual(['avatar_unknown']);
    expect(metadata.get('facewire-received')).toEqual(['nobody']);
  });

  it('refuses wrong landmarks, no portrait, and what the store refuses', async () => {
    const portrait = Buffer.of(1);
    const landmarks = points.slice(1);
    await expect(call('CreateAvatar', { name: 'A', portrait, landmarks })).rejects.toThrow(/landmarks_invalid.*67/);
    await expect(call('CreateAvatar', { name: 'A' })).rejects.toThrow(/image_unreadable/);
    await expect(call('CreateAvatar', { name: 'A', portrait: Buffer.from('x') })).rejects.toThrow(/image_unreadable/);
    await expect(call('DeleteAvatar', { id: 'ada' })).rejects.toThrow(/avatar_unknown/);
  });

  it('counts portraits in the budget of all bodies as long as they are handled', async () => {
    let handle = () => {};
    const handled = new Promise<void>((resolve) => {
      handle = resolve;
    });
    const create = avatars.create.bind(avatars);
    vi.spyOn(avatars, 'create').mockImplementation(async (...values) => {
      await handled;
      return create(...values);
    });
    const upload = () => call<AvatarInfo>('CreateAvatar', { name: 'A', portrait: Buffer.alloc(100_000, 7) });
    const [first, second] = [upload(), upload()];
    await expect.poll(() => avatars.create).toHaveBeenCalledTimes(2);
    await expect(upload()).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: expect.stringMatching(/^server_full/),
    });
    handle();
    await Promise.all([first, second]);
    expect(bodies.take(250_000)).toBe(true);
  });

  it('says `internal` and logs when the store breaks, and lives on', async () => {
    vi.spyOn(avatars, 'list').mockImplementationOnce(() => {
      throw new Error('secret');
    });
    await expect(call('ListAvatars', {})).rejects.toThrow(/^13 INTERNAL: internal: (?!.*secret)/);
    expect(log.error).toHaveBeenCalledOnce();
    expect(await call('ListAvatars', {})).toEqual({ avatars: [] });
  });
});

describe('the standard services', () => {
  it('health: serving until the server is asked to stop', async () => {
    const check = (healthService as unknown as ServiceDefinition).Check as AnyMethod;
    const ask = (service: string) => callUnary<{ status: string }>(client, check, { service });
    expect(await ask('')).toMatchObject({ status: 'SERVING' });
    expect(await ask('facewire.v1.Facewire')).toMatchObject({ status: 'SERVING' });
    server.setServing(false);
    expect(await ask('facewire.v1.Avatars')).toMatchObject({ status: 'NOT_SERVING' });
    await expect(ask('other')).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it('reflection: lists the services and describes Connect', async () => {
    const file = createRequire(import.meta.url).resolve(
      '@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto',
    );
    const definition = loadSync(file)['grpc.reflection.v1.ServerReflection'] as unknown as ServiceDefinition;
    const info = definition.ServerReflectionInfo as AnyMethod;
    const stream = client.makeBidiStreamRequest(info.path, info.requestSerialize, info.responseDeserialize);
    stream.on('error', () => {});
    const ask = (request: object) =>
      new Promise<{ fileDescriptorResponse?: { fileDescriptorProto: Buffer[] } }>((resolve) => {
        stream.once('data', resolve);
        stream.write(request);
      });
    const list = JSON.stringify(await ask({ listServices: '*' }));
    for (const name of ['facewire.v1.Facewire', 'facewire.v1.Avatars', 'grpc.health.v1.Health']) {
      expect(list).toContain(name);
    }
    const symbol = await ask({ fileContainingSymbol: 'facewire.v1.Facewire' });
    expect(String(symbol.fileDescriptorResponse?.fileDescriptorProto[0]?.toString('latin1'))).toContain('Connect');
    stream.end();
  });
});

describe('listening', () => {
  it('on a port that is taken says so and names the setting', async () => {
    const second = createGrpcServer({ host: '127.0.0.1', port: server.port, handler: new RecordingHandler(), avatars });
    await expect(second).rejects.toMatchObject({
      code: 'port_in_use',
      received: `127.0.0.1:${server.port}`,
      remedy: expect.stringContaining('FACEWIRE_GRPC_PORT'),
    });
  });
});

describe('gRPC statuses', () => {
  it('are errors for all codes, and OK for a reason that is none', () => {
    for (const code of ERROR_CODES) expect(grpcStatusOf(code)).not.toBe(status.OK);
    expect(grpcStatusOf('left')).toBe(status.OK);
  });

  it('can be sent whatever text the error carries', () => {
    const error = new FacewireError('avatar_unknown', 'ä\ud800', { received: '\u0000ü\n', remedy: '…' });
    const { details, metadata } = toGrpcStatus(error);
    expect(() => encodeURI(details)).not.toThrow();
    expect(metadata.get('facewire-received')).toEqual(['???']);
  });
});
