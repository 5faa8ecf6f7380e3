import {
  BackSide,
  BoxGeometry,
  BufferAttribute,
  CircleGeometry,
  Color,
  CylinderGeometry,
  DoubleSide,
  Group,
  Mesh,
  MeshBasicMaterial,
  PlaneGeometry,
  RingGeometry,
  TorusGeometry,
} from 'three';
import { ROOM } from './layout.ts';
import type { Materials } from './materials.ts';
import { PALETTE } from './palette.ts';
import { ceilingTexture, neonTexture, plasterTexture, slatTexture } from './textures.ts';

/** Colours that the accent lights throw on the wall, from its left end to its right one. */
const TINTS = ['#8fffe6', '#d9efe6', '#ffffff', '#f6dfe2', '#ff9fc0'];

/**
 * Walls, skirting, ceiling with its coves and ring of light, the sign. The walls' light never changes, so it is painted
 * into their textures: they cost one texture fetch a pixel on any machine.
 */
export function makeShell(materials: Materials): Group {
  const shell = new Group();
  shell.add(curvedWall(), ...straightWalls(materials), ...skirting(materials));
  shell.add(...ceiling(materials), ...signs(materials));
  return shell;
}

function curvedWall(): Mesh {
  const slats = slatTexture();
  slats.repeat.set(16, 1);
  // thetaStart 0 is +z; the wall spans the half circle of negative z, seen from inside from its right end to its left.
  const geometry = new CylinderGeometry(ROOM.radius, ROOM.radius, ROOM.height, 96, 1, true, Math.PI / 2, Math.PI);
  const { uv } = geometry.attributes;
  const colours = new Float32Array(uv!.count * 3);
  const stops = TINTS.map((tint) => new Color(tint));
  for (let vertex = 0; vertex < uv!.count; vertex++) {
    const at = (1 - uv!.getX(vertex)) * (stops.length - 1);
    const left = Math.min(stops.length - 2, Math.floor(at));
    new Color().lerpColors(stops[left]!, stops[left + 1]!, at - left).toArray(colours, vertex * 3);
  }
  geometry.setAttribute('color', new BufferAttribute(colours, 3));
  const wall = new Mesh(geometry, new MeshBasicMaterial({ map: slats, vertexColors: true, side: BackSide }));
  wall.position.y = ROOM.height / 2;
  return wall;
}

function straightWalls(materials: Materials): Mesh[] {
  const slats = slatTexture();
  slats.repeat.set(4, 1);
  const walls = [-1, 1].map((sign) => {
    const wall = new Mesh(
      new PlaneGeometry(ROOM.backZ, ROOM.height),
      new MeshBasicMaterial({ map: slats, color: sign < 0 ? TINTS[0]! : TINTS.at(-1)! }),
    );
    wall.position.set(sign * ROOM.radius, ROOM.height / 2, ROOM.backZ / 2);
    wall.rotation.y = (-sign * Math.PI) / 2;
    return wall;
  });
  const rear = new Mesh(
    new PlaneGeometry(2 * ROOM.radius, ROOM.height),
    new MeshBasicMaterial({ map: plasterTexture() }),
  );
  rear.position.set(0, ROOM.height / 2, ROOM.backZ);
  rear.rotation.y = Math.PI;
  // Upholstered panels on the rear wall.
  const panel = materials.surface({ color: '#3d4660', roughness: 0.95, emissive: '#161b2a' });
  const panels = [-4.6, -2.3, 0, 2.3, 4.6].map((x) => {
    const mesh = new Mesh(new BoxGeometry(2.06, 3.1, 0.1), panel);
    mesh.position.set(x, 2.2, ROOM.backZ - 0.06);
    return mesh;
  });
  return [...walls, rear, ...panels];
}

function skirting(materials: Materials): Mesh[] {
  const strip = materials.light('#ffc27a', 1);
  const cove = materials.light('#a9ddf5', 0.9);
  const half = (radius: number, tube: number, material: typeof strip, y: number) => {
    const mesh = new Mesh(new TorusGeometry(radius, tube, 6, 96, Math.PI), material);
    // The arc of a torus is the half of positive y; laid down, positive y becomes −z.
    mesh.rotation.x = -Math.PI / 2;
    mesh.position.y = y;
    return mesh;
  };
  const plinth = new Mesh(
    new CylinderGeometry(ROOM.radius - 0.12, ROOM.radius - 0.12, 0.14, 96, 1, true, Math.PI / 2, Math.PI),
    materials.surface({ color: '#08090c', side: BackSide }),
  );
  plinth.position.y = 0.07;
  return [
    half(ROOM.radius - 0.06, 0.024, strip, 0.16),
    half(ROOM.radius - 0.05, 0.022, cove, ROOM.height - 0.08),
    plinth,
  ];
}

function ceiling(materials: Materials): Mesh[] {
  const slab = new Mesh(
    new CircleGeometry(ROOM.radius + 2.4, 64),
    new MeshBasicMaterial({ map: ceilingTexture(), side: DoubleSide }),
  );
  slab.rotation.x = Math.PI / 2;
  slab.position.y = ROOM.height;
  const rings = [
    { radius: 2.2, y: ROOM.height - 0.42, tube: 0.032, colour: '#ffd9a8', bright: 1 },
    { radius: 3.5, y: ROOM.height - 0.2, tube: 0.016, colour: PALETTE.teal, bright: 0.75 },
  ].map(({ radius, y, tube, colour, bright }) => {
    const ring = new Mesh(new TorusGeometry(radius, tube, 8, 96), materials.light(colour, bright));
    ring.rotation.x = Math.PI / 2;
    ring.position.set(0, y, -1.2);
    return ring;
  });
  const raft = new Mesh(
    new RingGeometry(2.35, 3.35, 64),
    materials.surface({ color: '#1d2230', emissive: '#ffcf96', emissiveIntensity: 0.035, side: DoubleSide }),
  );
  raft.rotation.x = Math.PI / 2;
  raft.position.set(0, ROOM.height - 0.3, -1.2);
  const spots = [-2, -1, 0, 1, 2].map((column) => {
    const angle = column * 0.338;
    const spot = new Mesh(new CylinderGeometry(0.07, 0.09, 0.16, 20), materials.light('#ffe6c4', 1));
    spot.position.set(Math.sin(angle) * 5, ROOM.height - 0.08, -Math.cos(angle) * 5);
    return spot;
  });
  return [slab, raft, ...rings, ...spots];
}

function signs(materials: Materials): Mesh[] {
  const rear = new Mesh(new PlaneGeometry(6.4, 1.6), materials.glow({ map: neonTexture('facewire', PALETTE.rose) }));
  rear.position.set(0, 4.55, ROOM.backZ - 0.05);
  rear.rotation.y = Math.PI;
  return [rear];
}
