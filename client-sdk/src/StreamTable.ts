import type { FacewireError, FrameHeader, ParticipantInfo, ServerControl } from '@facewire/proto';
import { AvatarStream, type StreamLink, type SubscribeOptions } from './AvatarStream.ts';

type Subscribed = Extract<ServerControl, { type: 'subscribed' }>;

/** All streams of a client: which were asked for, which were granted, and how to ask again after a reconnect. */
export class StreamTable {
  readonly #link: Omit<StreamLink, 'handleClosed'>;
  readonly #streams = new Set<AvatarStream>();
  readonly #byId = new Map<number, AvatarStream>();
  /** by request number; a stream closed meanwhile stays here until its answer comes */
  readonly #requested = new Map<number, AvatarStream>();
  #nextRequest = 1;

  constructor(link: Omit<StreamLink, 'handleClosed'>) {
    this.#link = link;
  }

  list(): AvatarStream[] {
    return [...this.#streams];
  }

  open(participant: string, options: SubscribeOptions, connected: boolean): AvatarStream {
    const stream = new AvatarStream(participant, options, {
      ...this.#link,
      handleClosed: (closed) => this.#forget(closed),
    });
    this.#streams.add(stream);
    if (connected) this.#request(stream);
    return stream;
  }

  /**
   * Joined (again): asks for every stream but those whose participant left meanwhile, which end. Of one that was never
   * granted the server says what is wrong with it, as it does of every other.
   */
  handleConnected(participants: ReadonlyMap<string, ParticipantInfo>): void {
    for (const stream of this.list()) {
      const neverGranted = stream.codec === undefined;
      if (neverGranted || participants.has(stream.participant)) this.#request(stream);
      else stream.handleEnded('the participant left while the connection was lost');
    }
  }

  handleDisconnected(): void {
    this.#byId.clear();
    this.#requested.clear();
    for (const stream of this.#streams) stream.handleDisconnected();
  }

  handleSubscribed(message: Subscribed): void {
    const stream = this.#requested.get(message.request);
    this.#requested.delete(message.request);
    if (!stream || stream.closed) {
      this.#link.send({ type: 'unsubscribe', stream: message.stream });
      return;
    }
    this.#byId.set(message.stream, stream);
    stream.handleSubscribed(message.stream, message.codec);
  }

  handleEnded(id: number): void {
    this.#byId.get(id)?.handleEnded('the participant left');
  }

  /** True when the error answers a subscription: it then belongs to that stream. */
  handleRefused(request: number | undefined, error: FacewireError): boolean {
    const stream = request === undefined ? undefined : this.#requested.get(request);
    if (!stream) return false;
    this.#requested.delete(request!);
    stream.handleError(error);
    stream.handleEnded(error.message);
    return true;
  }

  /** Frames of unknown streams are those that were on their way when the stream was closed. */
  handleFrame(header: FrameHeader, payload: Uint8Array, packetBytes: number): void {
    this.#byId.get(header.stream)?.handleFrame(header, payload, packetBytes);
  }

  close(reason: string): void {
    for (const stream of this.list()) stream.handleEnded(reason);
  }

  #request(stream: AvatarStream): void {
    const request = this.#nextRequest++;
    this.#requested.set(request, stream);
    const { size, framesPerSecond, view } = stream.wanted;
    const { participant } = stream;
    this.#link.send({ type: 'subscribe', request, participant, size, framesPerSecond, view });
  }

  #forget(stream: AvatarStream): void {
    this.#streams.delete(stream);
    for (const [id, each] of this.#byId) if (each === stream) this.#byId.delete(id);
  }
}
