/** How peers and pages reach the server: WebSocket and HTTP on one port, gRPC on another, one PeerHandler behind both. */
export { BodyBudget } from './BodyBudget.ts';
export { createGrpcServer, type GrpcServer, type GrpcServerOptions } from './grpc/createGrpcServer.ts';
export { createHttpHandler, type Health, type HttpHandlerOptions } from './http/createHttpHandler.ts';
export { errorResponse, httpStatusOf, jsonResponse } from './http/responses.ts';
export type { PathParameters, Route } from './http/route.ts';
export type { StaticMount } from './http/staticFiles.ts';
export { DEFAULT_LIMITS, type TransportLimits } from './limits.ts';
export { SILENT_LOG, type TransportLog } from './TransportLog.ts';
export { createWebServer } from './websocket/createWebServer.ts';
export { CONNECT_PATH, type WebAdapterName, type WebServer, type WebServerOptions } from './websocket/WebServer.ts';
