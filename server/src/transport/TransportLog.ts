/** What transports need of a logger; a pino logger fits. Nothing per packet is logged above debug. */
export interface TransportLog {
  debug(context: object, message: string): void;
  info(context: object, message: string): void;
  warn(context: object, message: string): void;
  error(context: object, message: string): void;
}

const nothing = (): void => {};

export const SILENT_LOG: TransportLog = { debug: nothing, info: nothing, warn: nothing, error: nothing };
