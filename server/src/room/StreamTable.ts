import { type ClientControl, FacewireError, type FrameCodec } from '@facewire/proto';
import type { FanOut, Metrics, Peer } from '../contracts.ts';
import { chooseSize, clampFramesPerSecond } from './negotiate.ts';
import type { LiveStream, Member } from './Room.ts';

export interface StreamTableOptions {
  /** Renderer.sizes, ascending */
  sizes: readonly number[];
  /** streams of one peer */
  maxStreams: number;
  fanOut: Pick<FanOut, 'forgetStream'>;
  metrics: Metrics;
}

/** So many streams that ended on the server's side are remembered per peer. */
const MAX_ENDED_REMEMBERED = 256;

interface StreamsOfPeer {
  live: Map<number, LiveStream>;
  /** ended because the participant left: a message about one of them crossed the news on the wire */
  ended: Set<number>;
}

/** Who watches whom, at what size and rate and from where. */
export class StreamTable {
  readonly #options: StreamTableOptions;
  readonly #streams = new Map<number, LiveStream>();
  readonly #peers = new Map<Peer, StreamsOfPeer>();
  #nextId = 1;

  constructor(options: StreamTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#streams.size;
  }

  values(): IterableIterator<LiveStream> {
    return this.#streams.values();
  }

  has(id: number): boolean {
    return this.#streams.has(id);
  }

  /** Throws participant_unknown (`participant` undefined or a viewer), too_many_streams, size_unsupported. */
  open(
    peer: Peer,
    codec: FrameCodec,
    participant: Member | undefined,
    message: Extract<ClientControl, { type: 'subscribe' }>,
  ): LiveStream {
    if (!participant || participant.avatar === undefined) {
      const why = participant ? 'this participant is a viewer and has no avatar' : 'nobody of that id is in this room';
      throw new FacewireError('participant_unknown', why, {
        received: message.participant,
        remedy: "subscribe to a player of 'welcome' or 'participantJoined'",
      });
    }
    const { maxStreams, sizes } = this.#options;
    const mine = this.#of(peer);
    if (mine.live.size >= maxStreams) {
      throw new FacewireError('too_many_streams', `one connection may have ${maxStreams} streams`, {
        received: mine.live.size,
        remedy: "send 'unsubscribe' for screens that nobody sees",
      });
    }
    const stream: LiveStream = {
      id: this.#nextId,
      peer,
      codec,
      participant,
      size: chooseSize(message.size, sizes),
      framesPerSecond: clampFramesPerSecond(message.framesPerSecond),
      view: message.view ?? { yaw: 0, pitch: 0 },
      needsKeyFrame: true,
    };
    this.#nextId++;
    mine.live.set(stream.id, stream);
    this.#streams.set(stream.id, stream);
    participant.watchers.add(stream);
    this.#count();
    return stream;
  }

  /** Throws stream_unknown; size_unsupported, which leaves the stream as it was. */
  update(peer: Peer, message: Extract<ClientControl, { type: 'update' }>): void {
    const stream = this.own(peer, message.stream);
    if (!stream) return;
    stream.size = message.size === undefined ? stream.size : chooseSize(message.size, this.#options.sizes);
    if (message.framesPerSecond !== undefined) stream.framesPerSecond = clampFramesPerSecond(message.framesPerSecond);
    if (message.view) stream.view = message.view;
  }

  /** undefined when the stream ended a moment ago and the peer could not know. Throws stream_unknown. */
  own(peer: Peer, id: number): LiveStream | undefined {
    const mine = this.#peers.get(peer);
    const stream = mine?.live.get(id);
    if (stream || mine?.ended.has(id)) return stream;
    throw new FacewireError('stream_unknown', 'this connection has no such stream', {
      received: id,
      remedy: "use the number that 'subscribed' returned",
    });
  }

  /** The peer's own wish. */
  end(stream: LiveStream): void {
    this.#streams.delete(stream.id);
    this.#peers.get(stream.peer)?.live.delete(stream.id);
    stream.participant.watchers.delete(stream);
    this.#options.fanOut.forgetStream(stream);
    this.#count();
  }

  /** Ends every stream that shows this participant, and returns them. */
  endAllOf(participant: Member): LiveStream[] {
    const streams = [...participant.watchers];
    for (const stream of streams) {
      this.end(stream);
      const { ended } = this.#of(stream.peer);
      ended.add(stream.id);
      if (ended.size > MAX_ENDED_REMEMBERED) ended.delete(ended.values().next().value!);
    }
    return streams;
  }

  /** Ends every stream that this peer has, and forgets the peer. */
  endAllFor(peer: Peer): void {
    for (const stream of [...this.#of(peer).live.values()]) this.end(stream);
    this.#peers.delete(peer);
  }

  #of(peer: Peer): StreamsOfPeer {
    let streams = this.#peers.get(peer);
    if (!streams) {
      streams = { live: new Map(), ended: new Set() };
      this.#peers.set(peer, streams);
    }
    return streams;
  }

  #count(): void {
    this.#options.metrics.gauge('streams', this.#streams.size);
  }
}
