import { Color, Fog, PMREMGenerator, Scene, type WebGLRenderer } from 'three';
import { RoomEnvironment } from 'three/addons/environments/RoomEnvironment.js';
import type { Quality } from '../quality.ts';
import { makeArcades } from './arcade.ts';
import { makeFloor } from './floor.ts';
import { type Furniture, makeLounge, makePedestals } from './furniture.ts';
import { type Obstacle, screenPlaces } from './layout.ts';
import { makeLights } from './lights.ts';
import { Materials } from './materials.ts';
import { Monitor, makeMonitorParts } from './monitor.ts';
import { PALETTE } from './palette.ts';
import { makeShell } from './shell.ts';
import { floorTexture, haloTexture, idleTexture } from './textures.ts';

/** Screen by screen, in the order of their places: neighbours differ. */
const ACCENTS = [
  PALETTE.teal,
  PALETTE.amber,
  PALETTE.rose,
  '#7fd1ff',
  PALETTE.rose,
  PALETTE.amber,
  '#8f8bff',
  '#7fd1ff',
  PALETTE.teal,
  '#8f8bff',
];

/** Everything that can be seen. */
export class Room {
  readonly scene = new Scene();
  readonly monitors: readonly Monitor[];
  readonly obstacles: readonly Obstacle[];
  readonly #furniture: Furniture[];

  constructor(renderer: WebGLRenderer, quality: Quality) {
    const materials = new Materials(quality);
    this.scene.background = new Color(PALETTE.night);
    this.scene.fog = new Fog(PALETTE.night, 12, 34);
    if (quality.standardMaterials) {
      const generator = new PMREMGenerator(renderer);
      this.scene.environment = generator.fromScene(new RoomEnvironment(), 0.04).texture;
      this.scene.environmentIntensity = 0.22;
      generator.dispose();
    }
    this.#furniture = [
      makeLounge(materials, quality),
      makePedestals(materials, quality),
      makeArcades(materials, quality),
    ];
    this.obstacles = this.#furniture.flatMap(({ obstacles }) => obstacles);
    this.scene.add(makeShell(materials), makeLights(quality), makeFloor(quality, floorTexture()));
    this.scene.add(...this.#furniture.map(({ group }) => group));

    const parts = makeMonitorParts(materials, haloTexture(), idleTexture());
    this.monitors = screenPlaces().map(
      (place, index) => new Monitor(place, ACCENTS[index % ACCENTS.length]!, parts, materials, quality),
    );
    this.scene.add(...this.monitors.map(({ group }) => group));
  }

  update(seconds: number): void {
    for (const each of this.#furniture) each.update(seconds);
  }
}
