/** A 3×3 rotation, row-major, 9 numbers. */
export type Matrix3 = readonly number[];

export interface EulerAngles {
  /** radians */
  pitch: number;
  yaw: number;
  roll: number;
}

export function rotateX(angle: number): Matrix3 {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [1, 0, 0, 0, c, -s, 0, s, c];
}

export function rotateY(angle: number): Matrix3 {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [c, 0, s, 0, 1, 0, -s, 0, c];
}

export function rotateZ(angle: number): Matrix3 {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [c, -s, 0, s, c, 0, 0, 0, 1];
}

export function multiply(...matrices: readonly [Matrix3, ...Matrix3[]]): Matrix3 {
  return matrices.reduce((left, right) =>
    Array.from({ length: 9 }, (_, at) => {
      const [row, column] = [Math.floor(at / 3) * 3, at % 3];
      return left[row]! * right[column]! + left[row + 1]! * right[column + 3]! + left[row + 2]! * right[column + 6]!;
    }),
  );
}

/** R = Rz(roll)·Ry(yaw)·Rx(pitch), the order of HeadPose. */
export function rotationFromEuler({ pitch, yaw, roll }: EulerAngles): Matrix3 {
  return multiply(rotateZ(roll), rotateY(yaw), rotateX(pitch));
}

/** The inverse of rotationFromEuler with yaw in −π/2…π/2. At ±π/2 exactly (gimbal lock) roll is 0. */
export function eulerFromRotation(rotation: Matrix3): EulerAngles {
  const sinYaw = Math.min(1, Math.max(-1, -rotation[6]!));
  const yaw = Math.asin(sinYaw);
  if (Math.abs(sinYaw) > 1 - 1e-9) {
    return { pitch: Math.atan2(sinYaw * rotation[1]!, rotation[4]!), yaw, roll: 0 };
  }
  return {
    pitch: Math.atan2(rotation[7]!, rotation[8]!),
    yaw,
    roll: Math.atan2(rotation[3]!, rotation[0]!),
  };
}
