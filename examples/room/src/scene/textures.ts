import { CanvasTexture, RepeatWrapping, SRGBColorSpace } from 'three';
import { DISPLAY_FONT, PALETTE, TEXT_FONT } from './palette.ts';

type Draw = (context: CanvasRenderingContext2D, width: number, height: number) => void;

/** A texture painted once on a canvas. */
export function paint(width: number, height: number, draw: Draw): CanvasTexture {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  draw(canvas.getContext('2d')!, width, height);
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  return texture;
}

/** A small repeatable generator (mulberry32): the room looks the same at every visit. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Vertical walnut slats with dark gaps, in the light of cove and skirting: one repeat is 16 slats wide. */
export function slatTexture(): CanvasTexture {
  const random = randomFrom(7);
  const texture = paint(1024, 512, (context, width, height) => {
    context.fillStyle = '#0b0a0c';
    context.fillRect(0, 0, width, height);
    const slat = width / 16;
    for (let index = 0; index < 16; index++) {
      const x = index * slat + slat * 0.14;
      const w = slat * 0.72;
      const tone = 0.82 + random() * 0.3;
      const colour = (r: number, g: number, b: number) => `rgb(${r * tone},${g * tone},${b * tone})`;
      const round = context.createLinearGradient(x, 0, x + w, 0);
      round.addColorStop(0, colour(96, 62, 45));
      round.addColorStop(0.25, colour(214, 146, 104));
      round.addColorStop(0.7, colour(176, 116, 82));
      round.addColorStop(1, colour(66, 42, 30));
      context.fillStyle = round;
      context.fillRect(x, 0, w, height);
      for (let line = 0; line < 26; line++) {
        context.fillStyle = `rgba(${random() < 0.5 ? '20,10,6' : '190,140,100'},${0.04 + random() * 0.07})`;
        context.fillRect(x + random() * w, random() * height * 0.2, 0.6 + random() * 1.4, height);
      }
    }
    bakeWash(context, width, height, 0.16);
  });
  texture.wrapS = RepeatWrapping;
  return texture;
}

/** The light on a wall from top to bottom: cool from the cove, warm from the skirting, dim between. */
function washOf(context: CanvasRenderingContext2D, height: number): CanvasGradient {
  const wash = context.createLinearGradient(0, 0, 0, height);
  wash.addColorStop(0, '#e2f6ff');
  wash.addColorStop(0.03, '#8fc4e0');
  wash.addColorStop(0.13, '#4a6f8c');
  wash.addColorStop(0.34, '#2b3038');
  wash.addColorStop(0.6, '#33291f');
  wash.addColorStop(0.84, '#8a5528');
  wash.addColorStop(0.96, '#eb9c4c');
  wash.addColorStop(1, '#ffdba6');
  return wash;
}

/** Bakes the wash into a painted wall: most of it lit through the wall's own colour, a little as a sheen on top. */
function bakeWash(context: CanvasRenderingContext2D, width: number, height: number, sheen: number): void {
  context.fillStyle = washOf(context, height);
  context.globalCompositeOperation = 'multiply';
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = 'lighter';
  context.globalAlpha = sheen;
  context.fillRect(0, 0, width, height);
  context.globalAlpha = 1;
  context.globalCompositeOperation = 'source-over';
}

/** The rear wall: dark plaster in the same light. */
export function plasterTexture(): CanvasTexture {
  return paint(16, 512, (context, width, height) => {
    context.fillStyle = '#3a3f4c';
    context.fillRect(0, 0, width, height);
    bakeWash(context, width, height, 0.1);
  });
}

/** Large stone plates with thin joints; brightness in the red channel, gloss in green. */
export function floorTexture(): CanvasTexture {
  const random = randomFrom(21);
  const texture = paint(1024, 1024, (context, width, height) => {
    const tiles = 4;
    const size = width / tiles;
    for (let row = 0; row < tiles; row++) {
      for (let column = 0; column < tiles; column++) {
        const tone = 104 + random() * 34;
        const gloss = 205 + random() * 40;
        context.fillStyle = `rgb(${tone},${gloss},0)`;
        context.fillRect(column * size, row * size, size, size);
      }
    }
    for (let vein = 0; vein < 46; vein++) {
      context.strokeStyle = `rgba(${random() < 0.6 ? '205,170' : '50,140'},0,${0.05 + random() * 0.12})`;
      context.lineWidth = 0.6 + random() * 2.2;
      let x = random() * width;
      let y = random() * height;
      context.beginPath();
      context.moveTo(x, y);
      for (let step = 0; step < 9; step++) {
        x += (random() - 0.35) * 90;
        y += (random() - 0.5) * 90;
        context.lineTo(x, y);
      }
      context.stroke();
    }
    context.strokeStyle = 'rgb(30,70,0)';
    context.lineWidth = 3;
    for (let line = 0; line <= tiles; line++) {
      context.strokeRect(line * size, -8, 0.01, height + 16);
      context.strokeRect(-8, line * size, width + 16, 0.01);
    }
  });
  texture.wrapS = RepeatWrapping;
  texture.wrapT = RepeatWrapping;
  return texture;
}

/** The ceiling: dark, lit by the ring of light in its middle and the cove at its edge. */
export function ceilingTexture(): CanvasTexture {
  return paint(512, 512, (context, width, height) => {
    const light = context.createRadialGradient(256, 256, 0, 256, 256, 256);
    light.addColorStop(0, '#3b3028');
    light.addColorStop(0.2, '#4a3b2f');
    light.addColorStop(0.38, '#211f25');
    light.addColorStop(0.6, '#151922');
    light.addColorStop(0.74, '#2a4152');
    light.addColorStop(0.76, '#0c1016');
    light.addColorStop(1, '#0c1016');
    context.fillStyle = light;
    context.fillRect(0, 0, width, height);
  });
}

/** A soft-edged rectangle of light: the halo behind a screen. White; tint it by the material's colour. */
export function haloTexture(): CanvasTexture {
  return paint(256, 256, (context, width, height) => {
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    context.filter = 'blur(22px)';
    context.fillStyle = '#fff';
    context.fillRect(width * 0.22, height * 0.22, width * 0.56, height * 0.56);
  });
}

/** A round glow. */
export function glowTexture(): CanvasTexture {
  return paint(128, 128, (context, width, height) => {
    const glow = context.createRadialGradient(width / 2, height / 2, 0, width / 2, height / 2, width / 2);
    glow.addColorStop(0, 'rgba(255,255,255,1)');
    glow.addColorStop(0.3, 'rgba(255,255,255,0.32)');
    glow.addColorStop(1, 'rgba(255,255,255,0)');
    context.fillStyle = glow;
    context.fillRect(0, 0, width, height);
  });
}

/** What an empty screen shows. */
export function idleTexture(): CanvasTexture {
  return paint(512, 512, (context, width, height) => {
    const back = context.createRadialGradient(256, 210, 20, 256, 250, 380);
    back.addColorStop(0, '#1d2836');
    back.addColorStop(0.55, '#10161f');
    back.addColorStop(1, '#07090d');
    context.fillStyle = back;
    context.fillRect(0, 0, width, height);
    context.strokeStyle = 'rgba(79,227,200,0.07)';
    context.lineWidth = 1;
    for (let ring = 0; ring < 7; ring++) {
      context.beginPath();
      context.arc(256, 218, 118 + ring * 34, 0, 2 * Math.PI);
      context.stroke();
    }
    context.strokeStyle = 'rgba(160,190,205,0.5)';
    context.lineWidth = 3.5;
    context.lineCap = 'round';
    context.beginPath();
    context.ellipse(256, 196, 58, 74, 0, 0, 2 * Math.PI);
    context.stroke();
    context.beginPath();
    context.moveTo(136, 368);
    context.bezierCurveTo(146, 312, 196, 296, 256, 296);
    context.bezierCurveTo(316, 296, 366, 312, 376, 368);
    context.stroke();
    context.textAlign = 'center';
    context.fillStyle = 'rgba(232,240,246,0.82)';
    context.font = `500 25px ${DISPLAY_FONT}`;
    context.fillText('This seat is free', 256, 432);
    context.fillStyle = 'rgba(150,168,182,0.7)';
    context.font = `400 18px ${TEXT_FONT}`;
    context.fillText('Join as a player to appear here', 256, 462);
  });
}

/** The neon sign on the back wall and above the gallery. Additive: black = nothing. */
export function neonTexture(text: string, colour: string): CanvasTexture {
  return paint(1024, 256, (context, width, height) => {
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.font = `300 132px ${DISPLAY_FONT}`;
    context.letterSpacing = '14px';
    for (const [blur, alpha] of [
      [46, 0.55],
      [18, 0.7],
      [6, 0.9],
    ] as const) {
      context.filter = `blur(${blur}px)`;
      context.globalAlpha = alpha;
      context.fillStyle = colour;
      context.fillText(text, width / 2, height / 2);
    }
    context.filter = 'none';
    context.globalAlpha = 1;
    context.fillStyle = PALETTE.ivory;
    context.fillText(text, width / 2, height / 2);
  });
}
