import { clientControlToEnvelope, envelopeToServerControl } from '@facewire/proto';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadServices } from '../grpc/loadService.ts';
import { Inbox, type TestClient } from './TestClient.ts';

export const services = loadServices();

/** A connection of its own, so that a test that does not read holds up no other. */
export function grpcClient(port: number): Client {
  return new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
}

/** Calls a unary method of a service that proto-loader made. */
export async function callUnary<Response>(
  client: Client,
  method: MethodDefinition<object, object>,
  request: object,
): Promise<Response> {
  return await new Promise<Response>((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      (error, value) => (error === null ? resolve(value as Response) : reject(error)),
    );
  });
}

/** Resolves when the server has answered with its headers. */
export async function connectGrpc(port: number): Promise<TestClient> {
  const client = grpcClient(port);
  const connect = services.facewire.Connect as MethodDefinition<Buffer, Buffer>;
  const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    connect.path,
    connect.requestSerialize,
    connect.responseDeserialize,
  );
  const inbox = new Inbox();
  const closed = new Promise<string>((resolve) => {
    call.on('status', ({ code, details }) => {
      resolve(`${status[code]} ${details}`);
      client.close();
    });
  });
  call.on('error', (_error: ServiceError) => {}); // the status says the same
  call.on('data', (bytes: Buffer) => {
    const envelope = services.decodeServerEnvelope(bytes) as { frame?: Buffer };
    if (envelope.frame !== undefined) inbox.push({ type: 'frame', packet: envelope.frame });
    else inbox.push(envelopeToServerControl(envelope));
  });
  await Promise.race([new Promise((resolve) => call.on('metadata', resolve)), closed]);
  return {
    inbox,
    closed,
    sendControl: (message) => call.write(services.encodeClientEnvelope(clientControlToEnvelope(message))),
    sendPacket: (packet) => call.write(services.encodeClientEnvelope({ motion: packet })),
    sendMalformedControl: () => call.write(Buffer.from([0xff, 0xff, 0xff])),
    pause: () => call.pause(),
    resume: () => call.resume(),
    leave: () => call.end(),
  };
}
