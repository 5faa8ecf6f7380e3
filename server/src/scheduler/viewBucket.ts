import type { View } from '@facewire/proto';

/** Width of a view bucket: 2° are hardly visible, and let viewers who stand close together share a picture. */
export const VIEW_BUCKET_DEGREES = 2;

const BUCKET_RADIANS = (VIEW_BUCKET_DEGREES * Math.PI) / 180;

export interface ViewBucket {
  /** equal for two views in one bucket */
  key: string;
  /** the bucket's centre, radians: what is rendered for all of them */
  view: View;
}

/** Quantises yaw and pitch to the nearest multiple of 2°; the view straight ahead is a centre. */
export function viewBucket(view: View): ViewBucket {
  // `+ 0` turns −0 into 0, which otherwise would be another key.
  const yaw = Math.round(view.yaw / BUCKET_RADIANS) + 0;
  const pitch = Math.round(view.pitch / BUCKET_RADIANS) + 0;
  return { key: `${yaw},${pitch}`, view: { yaw: yaw * BUCKET_RADIANS, pitch: pitch * BUCKET_RADIANS } };
}
