import { FacewireError, neutralMotion } from '@facewire/proto';
import type { Device } from './Device.ts';
import { DeviceTransfer } from './DeviceTransfer.ts';
import { LaneRun, type LaneRunOptions } from './LaneRun.ts';
import { DeviceThread } from './ort/DeviceThread.ts';
import { PARITY_TOLERANCE } from './parity.ts';
import { Traffic } from './Traffic.ts';

/** What recorded runs (CUDA graphs) of one device have in common. */
export interface Recording extends NonNullable<LaneRunOptions['recorded']> {
  /** for the runs that are recorded */
  readonly thread: DeviceThread;
  /** After the sessions. May be called twice. */
  close(): void;
}

const TYPES = { slots: 'int64', motion: 'float32', view: 'float32', rgb: 'uint8', i420: 'uint8' } as const;

export function openRecording(device: Device): Recording {
  // A recording belongs to its thread. Copies have another one: those of one batch go on while the next is computed.
  const thread = new DeviceThread();
  const copying = new DeviceThread();
  const transfer = new DeviceTransfer(TYPES, device, copying);
  let graphs = 0;
  return {
    thread,
    transfer,
    nextGraph: () => ++graphs,
    close: () => {
      transfer.close();
      thread.close();
      copying.close();
    },
  };
}

/**
 * Draws a motion, then another one by replaying the recording of the first, and that again without recording.
 *
 * @param options of a lane whose runs are recorded
 * @throws FacewireError inference_failed when a run fails, or a replay draws something else
 */
export async function checkRecording(options: LaneRunOptions): Promise<void> {
  const { recorded: _, ...plainOptions } = options;
  /** RGB of the last of these pictures, drawn on a lane of its own. */
  const draw = async (each: LaneRunOptions, yaws: readonly number[]) => {
    const lane = new LaneRun(each);
    try {
      for (const yaw of yaws) {
        const motion = neutralMotion();
        motion.pose.yaw = yaw;
        const picture = { avatar: '', size: options.size, view: { yaw, pitch: 0 }, motion };
        await lane.draw([picture], [0], { i420: false, rgb: true }, new Traffic());
      }
      return lane.row('rgb', 0).slice();
    } finally {
      lane.close();
    }
  };
  const replayed = await draw(options, [0.3, -0.3, 0.1, -0.2]);
  const expected = await draw(plainOptions, [-0.2]);
  const mean = replayed.reduce((sum, value, index) => sum + Math.abs(value - expected[index]!), 0) / replayed.length;
  if (mean > PARITY_TOLERANCE.mean) {
    throw new FacewireError('inference_failed', `a replayed run differs by ${mean.toFixed(2)} of 255 on average`);
  }
}
