import { PROTO_FILE } from '@facewire/proto/node';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { protoPath as HEALTH_PROTO_FILE } from 'grpc-health-check';

export interface FacewireServices {
  /** for the reflection service */
  packageDefinition: PackageDefinition;
  /** envelopes travel as bytes here: whoever calls encodes and decodes them, and so knows how long they are */
  facewire: ServiceDefinition;
  avatars: ServiceDefinition;
  decodeClientEnvelope(bytes: Buffer): object;
  encodeServerEnvelope(envelope: object): Buffer;
  /** the client's side of the same, for clients written in this repository */
  encodeClientEnvelope(envelope: object): Buffer;
  decodeServerEnvelope(bytes: Buffer): object;
}

export const FACEWIRE_SERVICE = 'facewire.v1.Facewire';
export const AVATARS_SERVICE = 'facewire.v1.Avatars';

/** Reads facewire.proto. */
export function loadServices(): FacewireServices {
  const packageDefinition = loadSync([PROTO_FILE, HEALTH_PROTO_FILE], {
    keepCase: false,
    longs: Number,
    enums: String,
    defaults: false,
    arrays: true,
    oneofs: false,
  });
  const definition = packageDefinition[FACEWIRE_SERVICE] as unknown as ServiceDefinition;
  const connect = definition.Connect as MethodDefinition<object, object>;
  const asBytes = (bytes: Buffer): Buffer => bytes;
  const bytesConnect: MethodDefinition<Buffer, Buffer> = {
    ...connect,
    requestSerialize: asBytes,
    requestDeserialize: asBytes,
    responseSerialize: asBytes,
    responseDeserialize: asBytes,
  };
  return {
    packageDefinition,
    facewire: { ...definition, Connect: bytesConnect },
    avatars: packageDefinition[AVATARS_SERVICE] as unknown as ServiceDefinition,
    decodeClientEnvelope: connect.requestDeserialize,
    encodeServerEnvelope: connect.responseSerialize,
    encodeClientEnvelope: connect.requestSerialize,
    decodeServerEnvelope: connect.responseDeserialize,
  };
}
