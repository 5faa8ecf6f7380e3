import type { OnnxRendererCounters } from './OnnxRenderer.ts';

/** What residency is read from: a renderer, or several behind one face. */
export interface ResidentRenderer {
  readonly counters: OnnxRendererCounters;
  readonly bank: { readonly slots: number };
  readonly failedDevices?: number;
}

/** Part of GET /health: whether avatars stay on the device, as bytes per picture drawn since the start. */
export interface Residency {
  avatars: number;
  slots: number;
  loads: number;
  evictions: number;
  pictures: number;
  /** slots, motion and view, and avatars that a run had to bring along; 0 before the first picture */
  bytesInPerPicture: number;
  /** finished frames */
  bytesOutPerPicture: number;
}

export function residencyOf({ counters, bank }: ResidentRenderer): Residency {
  const { used, loads, evictions, pictures } = counters;
  const per = (bytes: number) => (pictures === 0 ? 0 : Math.round((bytes / pictures) * 10) / 10);
  return {
    avatars: used,
    slots: bank.slots,
    loads,
    evictions,
    pictures,
    bytesInPerPicture: per(counters.inputBytesToDevice + counters.bankBytesRecopied),
    bytesOutPerPicture: per(counters.bytesFromDevice),
  };
}

/** The same as raw counters for GET /metrics, so that rates and shares can be taken over any time. */
export function residencyMetrics({ counters, bank, failedDevices = 0 }: ResidentRenderer): Record<string, number> {
  return {
    devices_failed: failedDevices,
    device_runs_total: counters.runs,
    device_pictures_total: counters.pictures,
    device_input_bytes_in_total: counters.inputBytesToDevice,
    device_bank_bytes_recopied_total: counters.bankBytesRecopied,
    device_avatar_bytes_in_total: counters.bytesToDevice,
    device_frame_bytes_out_total: counters.bytesFromDevice,
    bank_avatars: counters.used,
    bank_slots: bank.slots,
    bank_loads_total: counters.loads,
    bank_evictions_total: counters.evictions,
  };
}
