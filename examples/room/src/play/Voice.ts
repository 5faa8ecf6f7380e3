import { VoiceMouth } from '@facewire/client-sdk';

/** A microphone that moves a mouth. */
export class Voice {
  readonly mouth = new VoiceMouth();
  readonly #stream: MediaStream;
  readonly #audio = new AudioContext();
  readonly #analyser: AnalyserNode;
  readonly #levels: Float32Array<ArrayBuffer>;

  private constructor(stream: MediaStream) {
    this.#stream = stream;
    this.#analyser = new AnalyserNode(this.#audio, { fftSize: 1024, smoothingTimeConstant: 0.3 });
    this.#audio.createMediaStreamSource(stream).connect(this.#analyser);
    this.#levels = new Float32Array(this.#analyser.frequencyBinCount);
  }

  /** Rejects with the browser's DOMException when there is no microphone or it may not be used. */
  static async open(): Promise<Voice> {
    if (!navigator.mediaDevices) throw new Error('the microphone needs a page over https, or on this machine');
    return new Voice(await navigator.mediaDevices.getUserMedia({ audio: true }));
  }

  /** The mouth as it is now. */
  listen(): VoiceMouth {
    this.#analyser.getFloatFrequencyData(this.#levels);
    this.mouth.hear(this.#levels, this.#audio.sampleRate, performance.now());
    return this.mouth;
  }

  close(): void {
    for (const track of this.#stream.getTracks()) track.stop();
    void this.#audio.close();
  }
}
