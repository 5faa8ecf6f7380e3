/** Bytes that cross between the host and the device when pictures are drawn. */
export interface TrafficCounters {
  /** what the graphs read from the host: slots, motion and view of every picture */
  inputBytesToDevice: number;
  /** avatars that lie in host memory while the device reads them elsewhere; 0 as long as the bank is resident */
  bankBytesRecopied: number;
  /** finished uint8 frames, of the outputs that were asked for */
  bytesFromDevice: number;
}

/**
 * Counts the copies of the runs by the tensors they get: a host tensor that a graph of another device reads is copied
 * there, one that lies on the device already is not. On the CPU, where the graph reads the bank in place, the same
 * tensors are counted, as copies into and out of the run's buffers.
 *
 * What ONNX Runtime moves inside a graph, for an operator that the device lacks, is not seen here.
 */
export class Traffic implements TrafficCounters {
  inputBytesToDevice = 0;
  bankBytesRecopied = 0;
  bytesFromDevice = 0;

  snapshot(): TrafficCounters {
    const { inputBytesToDevice, bankBytesRecopied, bytesFromDevice } = this;
    return { inputBytesToDevice, bankBytesRecopied, bytesFromDevice };
  }
}
