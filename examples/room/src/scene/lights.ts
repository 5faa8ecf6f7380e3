import { AmbientLight, Group, HemisphereLight, PointLight, SpotLight } from 'three';
import type { Quality } from '../quality.ts';
import { ROOM } from './layout.ts';
import { PALETTE } from './palette.ts';

/** A warm key from the ceiling's ring, a little sky, and coloured accents from both sides. */
export function makeLights(quality: Quality): Group {
  const lights = new Group();
  lights.add(new HemisphereLight('#9fb6d8', '#3a2417', quality.standardMaterials ? 0.55 : 0.8));
  if (!quality.standardMaterials) lights.add(new AmbientLight('#40485c', 0.5));

  const key = new SpotLight('#ffdcb0', 190, 16, 0.95, 0.75, 2);
  key.position.set(0, ROOM.height - 0.3, -0.9);
  key.target.position.set(0, 0, -1.6);
  key.castShadow = quality.shadows;
  key.shadow.mapSize.set(2048, 2048);
  key.shadow.bias = -0.0004;
  key.shadow.normalBias = 0.02;
  lights.add(key, key.target);

  const accents = [
    { colour: PALETTE.teal, x: -6, y: 2.6, z: -0.4, power: 26 },
    { colour: PALETTE.rose, x: 6, y: 2.6, z: -0.4, power: 26 },
    { colour: '#dfe9ff', x: 0, y: 3.1, z: -5.2, power: 22 },
  ];
  for (const { colour, x, y, z, power } of accents) {
    const light = new PointLight(colour, power, 11, 2);
    light.position.set(x, y, z);
    lights.add(light);
  }
  return lights;
}
