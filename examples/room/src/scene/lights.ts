import { Group, HemisphereLight, PointLight, SpotLight } from 'three';
import type { Quality } from '../quality.ts';
import { ROOM } from './layout.ts';
import { PALETTE } from './palette.ts';

/** A warm key from the ceiling's ring, a little sky, and coloured accents from both sides. */
export function makeLights(quality: Quality): Group {
  const lights = new Group();
  const high = quality.standardMaterials;
  lights.add(new HemisphereLight('#a9bddb', '#5a3a24', high ? 0.5 : 0.62));

  const key = new SpotLight('#ffdcb0', high ? 150 : 95, 16, 0.95, 0.75, 2);
  key.position.set(0, ROOM.height - 0.3, -0.9);
  key.target.position.set(0, 0, -1.6);
  key.castShadow = quality.shadows;
  key.shadow.mapSize.set(2048, 2048);
  key.shadow.bias = -0.0004;
  key.shadow.normalBias = 0.02;
  lights.add(key, key.target);

  // Every light costs on every lit pixel: a software rasteriser goes without the third accent.
  const accents = [
    { colour: PALETTE.teal, x: -6, y: 2.6, z: -0.4, power: 26 },
    { colour: PALETTE.rose, x: 6, y: 2.6, z: -0.4, power: 26 },
    { colour: '#dfe9ff', x: 0, y: 3.1, z: -5.2, power: 22 },
  ];
  for (const { colour, x, y, z, power } of accents.slice(0, high ? 3 : 2)) {
    const light = new PointLight(colour, power, 11, 2);
    light.position.set(x, y, z);
    lights.add(light);
  }
  return lights;
}
