import {
  BoxGeometry,
  CircleGeometry,
  CylinderGeometry,
  Group,
  IcosahedronGeometry,
  LatheGeometry,
  LineBasicMaterial,
  LineSegments,
  type Material,
  Mesh,
  RingGeometry,
  TorusGeometry,
  Vector2,
  WireframeGeometry,
} from 'three';
import type { Quality } from '../quality.ts';
import type { Obstacle } from './layout.ts';
import type { Materials } from './materials.ts';
import { PALETTE } from './palette.ts';

/** Things that stand around; `update` moves what moves. */
export interface Furniture {
  group: Group;
  obstacles: Obstacle[];
  update(seconds: number): void;
}

const LOUNGE_Z = -1.9;

/** The lounge: a curved sofa that looks at the gallery, a table with a turning hologram, an inlaid floor. */
export function makeLounge(materials: Materials, quality: Quality): Furniture {
  const group = new Group();
  group.position.z = LOUNGE_Z;
  const leather = materials.surface({ color: PALETTE.leather, roughness: 0.48 });
  const wood = materials.surface({ color: '#2a1b13', roughness: 0.5 });
  const brass = materials.surface({ color: PALETTE.brass, roughness: 0.25, metalness: 1 });

  // LatheGeometry's phi 0 is +z: the sofa is open towards the gallery (−z), in two halves with a passage between.
  for (const start of [-1.12, 0.14]) {
    const length = 0.98;
    const turn = (points: [number, number][], material: Material) => {
      const mesh = new Mesh(
        new LatheGeometry(
          points.map(([x, y]) => new Vector2(x, y)),
          28,
          start,
          length,
        ),
        material,
      );
      mesh.castShadow = quality.shadows;
      mesh.receiveShadow = quality.shadows;
      group.add(mesh);
    };
    turn(roundedProfile(1.72, 0.14, 2.5, 0.46, 0.09), leather);
    turn(roundedProfile(2.36, 0.2, 2.64, 0.86, 0.1), leather);
    turn(roundedProfile(1.82, 0.02, 2.5, 0.13, 0.02), wood);
  }

  const table = new Mesh(
    new LatheGeometry(
      [
        new Vector2(0, 0),
        new Vector2(0.44, 0),
        new Vector2(0.4, 0.05),
        new Vector2(0.1, 0.1),
        new Vector2(0.09, 0.36),
        new Vector2(0.5, 0.4),
        new Vector2(0.56, 0.43),
        new Vector2(0.54, 0.45),
        new Vector2(0, 0.45),
      ],
      48,
    ),
    wood,
  );
  table.castShadow = quality.shadows;
  const rim = new Mesh(new TorusGeometry(0.555, 0.012, 8, 64), brass);
  rim.rotation.x = Math.PI / 2;
  rim.position.y = 0.435;

  const hologram = new Group();
  hologram.position.y = 0.78;
  const core = new Mesh(new IcosahedronGeometry(0.11, 0), materials.glow({ color: PALETTE.teal, opacity: 0.55 }));
  const shell = new LineSegments(
    new WireframeGeometry(new IcosahedronGeometry(0.22, 1)),
    new LineBasicMaterial({ color: PALETTE.teal, transparent: true, opacity: 0.75, toneMapped: false }),
  );
  hologram.add(core, shell);
  const beam = new Mesh(
    new CylinderGeometry(0.25, 0.08, 0.4, 32, 1, true),
    materials.glow({ color: PALETTE.teal, opacity: 0.07, side: 2 }),
  );
  beam.position.y = 0.65;

  const inlay = new Mesh(new RingGeometry(2.84, 2.88, 96), materials.light(PALETTE.brass, 0.55));
  inlay.rotation.x = -Math.PI / 2;
  inlay.position.y = 0.004;
  const rug = new Mesh(new CircleGeometry(1.62, 64), materials.surface({ color: '#221a26', roughness: 1 }));
  rug.rotation.x = -Math.PI / 2;
  rug.position.y = 0.006;
  rug.receiveShadow = quality.shadows;
  group.add(table, rim, hologram, beam, inlay, rug);

  const sofa: Obstacle[] = [-0.88, -0.45, 0.4, 0.88].map((angle) => ({
    x: Math.sin(angle) * 2.2,
    z: LOUNGE_Z + Math.cos(angle) * 2.2,
    radius: 0.72,
  }));
  return {
    group,
    obstacles: [...sofa, { x: 0, z: LOUNGE_Z, radius: 0.9 }],
    update(seconds) {
      hologram.rotation.y = seconds * 0.5;
      core.rotation.x = seconds * 0.8;
      hologram.position.y = 0.78 + Math.sin(seconds * 1.3) * 0.03;
    },
  };
}

/** Two lit pedestals with game pieces at the sides of the gallery. */
export function makePedestals(materials: Materials, quality: Quality): Furniture {
  const group = new Group();
  const stone = materials.surface({ color: '#20232c', roughness: 0.4 });
  const gold = materials.surface({ color: '#d9a34f', roughness: 0.22, metalness: 1 });
  const chrome = materials.surface({ color: '#b8c4d2', roughness: 0.16, metalness: 1 });
  const places = [
    { x: -4.35, z: -3.35, piece: trophyProfile(), material: gold, colour: PALETTE.amber },
    { x: 4.35, z: -3.35, piece: kingProfile(), material: chrome, colour: PALETTE.teal },
  ];
  for (const { x, z, piece, material, colour } of places) {
    const column = new Mesh(new CylinderGeometry(0.34, 0.38, 0.82, 40), stone);
    column.position.set(x, 0.41, z);
    const collar = new Mesh(new TorusGeometry(0.36, 0.014, 8, 64), materials.light(colour, 1));
    collar.rotation.x = Math.PI / 2;
    collar.position.set(x, 0.8, z);
    const statue = new Mesh(new LatheGeometry(piece, 40), material);
    statue.position.set(x, 0.82, z);
    for (const mesh of [column, statue]) mesh.castShadow = quality.shadows;
    group.add(column, collar, statue);
    if (piece.length === KING_POINTS) group.add(...crossOf(x, z, chrome));
    else group.add(...handlesOf(x, z, gold));
  }
  return {
    group,
    obstacles: places.map(({ x, z }) => ({ x, z, radius: 0.8 })),
    update() {},
  };
}

const KING_POINTS = 15;

function kingProfile(): Vector2[] {
  const points: [number, number][] = [
    [0, 0],
    [0.24, 0],
    [0.25, 0.05],
    [0.2, 0.09],
    [0.17, 0.12],
    [0.11, 0.2],
    [0.085, 0.36],
    [0.09, 0.46],
    [0.15, 0.49],
    [0.15, 0.52],
    [0.1, 0.55],
    [0.15, 0.7],
    [0.13, 0.73],
    [0.05, 0.76],
    [0, 0.77],
  ];
  return points.map(([x, y]) => new Vector2(x, y));
}

function crossOf(x: number, z: number, material: Material): Mesh[] {
  return [
    [0.035, 0.15, 0.835],
    [0.12, 0.035, 0.85],
  ].map(([width, height, y]) => {
    const bar = new Mesh(new BoxGeometry(width, height, 0.035), material);
    bar.position.set(x, 0.82 + y!, z);
    return bar;
  });
}

function trophyProfile(): Vector2[] {
  const points: [number, number][] = [
    [0, 0],
    [0.2, 0],
    [0.21, 0.04],
    [0.12, 0.08],
    [0.045, 0.12],
    [0.04, 0.26],
    [0.08, 0.29],
    [0.19, 0.4],
    [0.24, 0.55],
    [0.26, 0.74],
    [0.245, 0.74],
    [0.22, 0.56],
    [0.15, 0.42],
    [0, 0.36],
  ];
  return points.map(([x, y]) => new Vector2(x, y));
}

function handlesOf(x: number, z: number, material: Material): Mesh[] {
  return [-1, 1].map((side) => {
    const handle = new Mesh(new TorusGeometry(0.12, 0.02, 8, 24, Math.PI * 1.15), material);
    handle.position.set(x + side * 0.25, 0.82 + 0.55, z);
    handle.rotation.z = side > 0 ? -Math.PI / 2 : Math.PI / 2;
    return handle;
  });
}

/** The outline of a rounded rectangle from (x0, y0) to (x1, y1), closed, for turning about the y axis. */
function roundedProfile(x0: number, y0: number, x1: number, y1: number, radius: number): [number, number][] {
  const points: [number, number][] = [];
  const corner = (cx: number, cy: number, from: number) => {
    for (let step = 0; step <= 4; step++) {
      const angle = from + (step / 4) * (Math.PI / 2);
      points.push([cx + Math.cos(angle) * radius, cy + Math.sin(angle) * radius]);
    }
  };
  // Counter-clockwise, so that the surface faces outwards.
  corner(x1 - radius, y0 + radius, -Math.PI / 2);
  corner(x1 - radius, y1 - radius, 0);
  corner(x0 + radius, y1 - radius, Math.PI / 2);
  corner(x0 + radius, y0 + radius, Math.PI);
  points.push(points[0]!);
  return points;
}
