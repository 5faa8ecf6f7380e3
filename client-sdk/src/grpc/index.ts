export * from './GrpcTransport.ts';
