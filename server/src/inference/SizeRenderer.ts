import { neutralMotion } from '@facewire/proto';
import type { Picture, RenderedPicture, RenderWanted } from '../contracts.ts';
import type { BankMemory } from './BankMemory.ts';
import { FramePool } from './FramePool.ts';
import { LaneRun, type LaneRunOptions } from './LaneRun.ts';
import type { RendererFile } from './manifest.ts';
import type { OrtSession } from './ort/OrtSession.ts';
import { Traffic } from './Traffic.ts';

export interface SizeRendererOptions {
  file: RendererFile;
  /** the graph, once for all lanes or once for each */
  sessions: readonly OrtSession[];
  memory: BankMemory;
  maxBatch: number;
  recorded?: LaneRunOptions['recorded'];
}

/** One size's graph with its lanes. Runs of one lane must not overlap; those of different lanes may. */
export class SizeRenderer {
  readonly size: number;
  private readonly options: SizeRendererOptions;
  private readonly bankNames: readonly string[];
  private readonly lanes = new Map<number, LaneRun>();
  private readonly pool = new FramePool();

  constructor(options: SizeRendererOptions) {
    const { file, memory } = options;
    this.size = file.size;
    this.options = options;
    const reads = (name: string) => file.inputs.some((input) => input.name === `bank.${name}`);
    this.bankNames = memory.tensors.map(({ name }) => name).filter(reads);
  }

  /**
   * @param slots of the pictures' avatars, pinned until the promise settles
   * @param traffic counts the bytes that cross
   */
  async render(
    laneIndex: number,
    pictures: readonly Picture[],
    slots: readonly number[],
    wanted: RenderWanted,
    traffic: Traffic,
  ): Promise<RenderedPicture[]> {
    const lane = this.lane(laneIndex);
    await lane.draw(pictures, slots, wanted, traffic);
    return pictures.map((_, index) =>
      this.pool.picture(
        this.size,
        wanted,
        () => lane.row('i420', index),
        () => lane.row('rgb', index),
      ),
    );
  }

  /** Whether so many pictures are drawn on any of the lanes without recording a run; true where runs are not recorded. */
  isRecorded(lanes: number, count: number, wanted: RenderWanted): boolean {
    if (!this.options.recorded) return true;
    for (let lane = 0; lane < lanes; lane++) if (!this.lane(lane).isRecorded(count, wanted)) return false;
    return true;
  }

  /**
   * Records what is not recorded yet, on one lane after the other, by drawing unseen from slot 0. While nothing else runs on
   * the device: whatever allocates there meanwhile, such as another lane whose inputs are bound, ends a recording.
   */
  async record(lanes: number, count: number, wanted: RenderWanted): Promise<void> {
    for (let index = 0; index < lanes; index++) {
      const lane = this.lane(index);
      if (!lane.isRecorded(count, wanted)) await lane.draw(this.unseen(count), zeros(count), wanted, new Traffic());
    }
  }

  /** Pictures that nobody sees. */
  unseen(count: number): Picture[] {
    const picture = { avatar: '', size: this.size, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
    return Array.from({ length: count }, () => picture);
  }

  laneOptions(index: number): LaneRunOptions {
    const { sessions, memory, maxBatch, recorded } = this.options;
    const { size, bankNames } = this;
    const session = sessions[index % sessions.length]!;
    return { session, memory, bankNames, size, maxBatch, ...(recorded && { recorded }) };
  }

  /** May be called twice; not during a run. */
  close(): void {
    for (const lane of this.lanes.values()) lane.close();
    this.lanes.clear();
    for (const session of this.options.sessions) session.close();
  }

  /** Made when it is first used: a lane more costs nothing where none is needed. */
  private lane(index: number): LaneRun {
    let lane = this.lanes.get(index);
    if (lane === undefined) {
      lane = new LaneRun(this.laneOptions(index));
      this.lanes.set(index, lane);
    }
    return lane;
  }
}

function zeros(count: number): number[] {
  return Array.from({ length: count }, () => 0);
}
