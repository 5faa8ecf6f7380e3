import { AvatarScreen, NamePlate } from '@facewire/client-sdk/three';
import {
  type BufferGeometry,
  CylinderGeometry,
  ExtrudeGeometry,
  Group,
  type Material,
  Mesh,
  type MeshBasicMaterial,
  Path,
  PlaneGeometry,
  Shape,
  type Texture,
} from 'three';
import type { Quality } from '../quality.ts';
import { SCREEN_SIZE, type ScreenPlace } from './layout.ts';
import type { Materials } from './materials.ts';
import { PALETTE, TEXT_FONT } from './palette.ts';

/** What all monitors share. */
export interface MonitorParts {
  frame: BufferGeometry;
  arm: BufferGeometry;
  halo: BufferGeometry;
  metal: Material;
  rim: Material;
  haloMap: Texture;
  idle: Texture;
}

export function makeMonitorParts(materials: Materials, haloMap: Texture, idle: Texture): MonitorParts {
  return {
    frame: frameGeometry(SCREEN_SIZE, 0.055),
    arm: armGeometry(),
    halo: new PlaneGeometry(SCREEN_SIZE * 1.9, SCREEN_SIZE * 1.9),
    metal: materials.surface({ color: '#3a3f49', roughness: 0.3, metalness: 0.85 }),
    rim: materials.surface({ color: '#0a0b0e', roughness: 0.5 }),
    haloMap,
    idle,
  };
}

/** One framed screen on the gallery's wall with its halo and name plate. */
export class Monitor {
  readonly group = new Group();
  readonly screen: AvatarScreen;
  readonly #halo: Mesh<BufferGeometry, MeshBasicMaterial>;
  readonly #plate: NamePlate;

  constructor(place: ScreenPlace, accent: string, parts: MonitorParts, materials: Materials, quality: Quality) {
    this.group.position.set(place.x, place.y, place.z);
    this.group.rotation.set(place.tilt, place.turn, 0, 'YXZ');

    this.screen = new AvatarScreen({
      width: SCREEN_SIZE,
      height: SCREEN_SIZE,
      idle: parts.idle,
      framesPerSecond: quality.framesPerSecond,
      maxSize: quality.maxSize,
      anisotropy: quality.anisotropy,
    });
    this.screen.position.z = 0.012;

    const frame = new Mesh(parts.frame, parts.metal);
    frame.castShadow = quality.shadows;
    const arm = new Mesh(parts.arm, parts.rim);
    arm.position.z = -0.32;
    this.#halo = new Mesh(parts.halo, materials.glow({ map: parts.haloMap, color: accent }));
    this.#halo.position.z = -0.3;

    this.#plate = new NamePlate(' ', { height: 0.24, font: TEXT_FONT, dot: PALETTE.teal });
    this.#plate.position.set(0, -SCREEN_SIZE / 2 - 0.02, 0.12);
    this.group.add(this.#halo, arm, frame, this.screen, this.#plate);
    this.showName(undefined);
  }

  /** The plate under the screen; hidden on a free one. */
  showName(name: string | undefined): void {
    this.#plate.visible = name !== undefined;
    this.#plate.text = name ?? ' ';
    // A free screen glows less, so that the eye goes to the others.
    this.#halo.material.opacity = name === undefined ? 0.3 : 0.95;
  }

  dispose(): void {
    this.screen.dispose();
    this.#plate.dispose();
    this.#halo.material.dispose();
    this.group.removeFromParent();
  }
}

/**
 * A square arm that tapers towards the wall, so that its sides face away from who stands before the screen: those of a
 * box, seen edge-on, left dark lines on the screen in a multisampled depth buffer.
 */
function armGeometry(): BufferGeometry {
  return new CylinderGeometry(0.34, 0.12, 0.5, 4).rotateY(Math.PI / 4).rotateX(Math.PI / 2);
}

/** A bevelled frame around a square opening; its front lies a little before z = 0. */
function frameGeometry(size: number, width: number): ExtrudeGeometry {
  const outer = size / 2 + width;
  const inner = size / 2 - 0.004;
  const radius = 0.05;
  const shape = new Shape();
  shape.moveTo(-outer + radius, -outer);
  shape.lineTo(outer - radius, -outer).quadraticCurveTo(outer, -outer, outer, -outer + radius);
  shape.lineTo(outer, outer - radius).quadraticCurveTo(outer, outer, outer - radius, outer);
  shape.lineTo(-outer + radius, outer).quadraticCurveTo(-outer, outer, -outer, outer - radius);
  shape.lineTo(-outer, -outer + radius).quadraticCurveTo(-outer, -outer, -outer + radius, -outer);
  const hole = new Path();
  hole.moveTo(-inner, -inner).lineTo(-inner, inner).lineTo(inner, inner).lineTo(inner, -inner).lineTo(-inner, -inner);
  shape.holes.push(hole);
  const geometry = new ExtrudeGeometry(shape, {
    depth: 0.09,
    bevelEnabled: true,
    bevelThickness: 0.012,
    bevelSize: 0.012,
    bevelSegments: 2,
    curveSegments: 6,
  });
  geometry.translate(0, 0, -0.06);
  return geometry;
}
