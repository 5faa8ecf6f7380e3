import { MAX_PORTRAIT_BYTES } from '../contracts.ts';

/** Everything a peer could use up, with its limit. Each is set explicitly on every adapter: their own defaults differ and have changed. */
export interface TransportLimits {
  /** peers of one server; one more is told `server_full` and closed */
  maxPeers: number;
  /** a longer message costs its sender the connection (`packet_oversized`) */
  maxMessageBytes: number;
  /** motion packets per second and peer; the excess is dropped and counted */
  motionPerSecond: number;
  motionBurst: number;
  /** control messages per second and peer; free view sends one `update` per stream while a camera moves */
  controlPerSecond: number;
  controlBurst: number;
  /** `join` and `setAvatar` per second and peer: each is told to the whole room, and a `leave` follows a `join` */
  announcementsPerSecond: number;
  announcementsBurst: number;
  /** error messages per second and peer; more are not worth sending */
  errorsPerSecond: number;
  /** so many bad messages in a row close the peer */
  badMessagesInARow: number;
  /** a peer with more than this waiting to be sent does not read: it is cut off (`peer_too_slow`) */
  maxBufferedBytes: number;
  /** a peer that neither sends nor answers pings for so long is gone */
  idleTimeoutMs: number;
  /** bytes of an HTTP request's body, and of a portrait over gRPC */
  maxBodyBytes: number;
  /** of all bodies that are being read (over gRPC: that have been read) or handled at once; one more is refused (`server_full`) */
  maxBodyBytesAtOnce: number;
  /** time for the headers of a request, and for the whole of it (slow loris) */
  headersTimeoutMs: number;
  requestTimeoutMs: number;
}

export const DEFAULT_LIMITS: Readonly<TransportLimits> = {
  maxPeers: 1024,
  maxMessageBytes: 64 * 1024,
  motionPerSecond: 240,
  motionBurst: 240,
  controlPerSecond: 600,
  controlBurst: 1200,
  announcementsPerSecond: 2,
  announcementsBurst: 20,
  errorsPerSecond: 20,
  badMessagesInARow: 3,
  maxBufferedBytes: 4 * 1024 * 1024,
  idleTimeoutMs: 60_000,
  maxBodyBytes: MAX_PORTRAIT_BYTES,
  maxBodyBytesAtOnce: 128 * 1024 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
};

/**
 * Beyond this the adapters cut a connection without a word, before the message is in memory. Between `maxMessageBytes`
 * and here the message is read and its sender told what was wrong.
 */
export function hardMessageLimit(limits: Pick<TransportLimits, 'maxMessageBytes'>): number {
  return limits.maxMessageBytes * 4;
}
