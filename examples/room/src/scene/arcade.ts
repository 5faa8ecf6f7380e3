import {
  BoxGeometry,
  CylinderGeometry,
  ExtrudeGeometry,
  Group,
  Mesh,
  PlaneGeometry,
  Shape,
  SphereGeometry,
} from 'three';
import type { Quality } from '../quality.ts';
import type { Furniture } from './furniture.ts';
import type { Materials } from './materials.ts';
import { DISPLAY_FONT, PALETTE } from './palette.ts';
import { paint, randomFrom } from './textures.ts';

/** Arcade cabinets along both side walls. */
export function makeArcades(materials: Materials, quality: Quality): Furniture {
  const group = new Group();
  const places = [
    { x: -6.3, z: 0.2, turn: Math.PI / 2, colour: PALETTE.teal, title: 'ORBIT', seed: 3 },
    { x: -6.3, z: 1.6, turn: Math.PI / 2, colour: PALETTE.amber, title: 'COMET', seed: 8 },
    { x: 6.3, z: 0.2, turn: -Math.PI / 2, colour: PALETTE.rose, title: 'NEON', seed: 5 },
    { x: 6.3, z: 1.6, turn: -Math.PI / 2, colour: '#8f8bff', title: 'PULSE', seed: 13 },
  ];
  for (const { x, z, turn, colour, title, seed } of places) {
    const cabinet = makeCabinet(materials, quality, colour, title, seed);
    cabinet.position.set(x, 0, z);
    cabinet.rotation.y = turn;
    group.add(cabinet);
  }
  return { group, obstacles: places.map(({ x, z }) => ({ x, z, radius: 1 })), update() {} };
}

/** One cabinet, 0.8 m wide, 2 m high, facing +z. */
function makeCabinet(materials: Materials, quality: Quality, colour: string, title: string, seed: number): Group {
  const cabinet = new Group();
  const profile = new Shape();
  // Seen from the side: x is the depth (front at +), y the height.
  const outline: [number, number][] = [
    [-0.4, 0],
    [0.36, 0],
    [0.36, 0.86],
    [0.46, 0.98],
    [0.44, 1.03],
    [0.16, 1.1],
    [0.02, 1.62],
    [0.3, 1.72],
    [0.3, 2],
    [-0.4, 2],
  ];
  profile.setFromPoints(outline.map(([x, y]) => ({ x, y }) as never));
  const body = new Mesh(
    new ExtrudeGeometry(profile, {
      depth: 0.74,
      bevelEnabled: true,
      bevelSize: 0.012,
      bevelThickness: 0.012,
      bevelSegments: 2,
    }),
    materials.surface({ color: '#14161d', roughness: 0.5 }),
  );
  body.rotation.y = -Math.PI / 2;
  body.position.x = 0.37;
  body.castShadow = quality.shadows;

  const trim = materials.light(colour, 0.95);
  for (const side of [-1, 1]) {
    const edge = new Mesh(new BoxGeometry(0.02, 1.0, 0.02), trim);
    edge.position.set(side * 0.385, 0.46, 0.378);
    cabinet.add(edge);
  }
  const picture = new Mesh(new PlaneGeometry(0.62, 0.46), materials.light('#ffffff'));
  picture.material.map = gamePicture(colour, seed);
  picture.position.set(0, 1.36, 0.112);
  picture.rotation.x = -0.26;
  const marquee = new Mesh(new PlaneGeometry(0.72, 0.22), materials.light('#ffffff'));
  marquee.material.map = paint(360, 110, (context, width, height) => {
    const back = context.createLinearGradient(0, 0, width, height);
    back.addColorStop(0, '#0d1018');
    back.addColorStop(1, colour);
    context.fillStyle = back;
    context.fillRect(0, 0, width, height);
    context.fillStyle = '#ffffff';
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.font = `700 62px ${DISPLAY_FONT}`;
    context.letterSpacing = '6px';
    context.fillText(title, width / 2, height / 2 + 3);
  });
  marquee.position.set(0, 1.86, 0.314);
  const stick = new Mesh(new CylinderGeometry(0.011, 0.011, 0.11), materials.surface({ color: '#9aa3b0' }));
  stick.position.set(-0.18, 1.12, 0.3);
  const knob = new Mesh(new SphereGeometry(0.032, 16, 12), materials.surface({ color: '#d8343f', roughness: 0.3 }));
  knob.position.set(-0.18, 1.18, 0.3);
  cabinet.add(body, picture, marquee, stick, knob);
  for (let index = 0; index < 3; index++) {
    const button = new Mesh(new CylinderGeometry(0.026, 0.026, 0.02, 16), trim);
    button.position.set(0.06 + index * 0.08, 1.07, 0.32 - (index % 2) * 0.04);
    cabinet.add(button);
  }
  return cabinet;
}

function gamePicture(colour: string, seed: number) {
  const random = randomFrom(seed);
  return paint(320, 240, (context, width, height) => {
    context.fillStyle = '#05060b';
    context.fillRect(0, 0, width, height);
    for (let star = 0; star < 70; star++) {
      context.fillStyle = `rgba(255,255,255,${random() * 0.8})`;
      context.fillRect(random() * width, random() * height * 0.62, 1.6, 1.6);
    }
    const sun = context.createLinearGradient(0, 50, 0, 150);
    sun.addColorStop(0, '#ffe9a8');
    sun.addColorStop(1, colour);
    context.fillStyle = sun;
    context.beginPath();
    context.arc(width / 2, 148, 62, Math.PI, 0);
    context.fill();
    context.strokeStyle = colour;
    context.lineWidth = 1.4;
    for (let line = -12; line <= 12; line++) {
      context.beginPath();
      context.moveTo(width / 2 + line * 9, 148);
      context.lineTo(width / 2 + line * 52, height);
      context.stroke();
    }
    for (let row = 0; row < 8; row++) {
      const y = 148 + (row * row * 92) / 49;
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(width, y);
      context.stroke();
    }
    context.fillStyle = '#ffffff';
    context.font = `600 15px ${DISPLAY_FONT}`;
    context.fillText(`1UP  ${Math.floor(random() * 9000 + 1000)}0`, 12, 22);
    context.textAlign = 'right';
    context.fillText('INSERT COIN', width - 12, 22);
  });
}
