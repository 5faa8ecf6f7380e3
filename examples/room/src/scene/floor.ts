import { type Mesh, Shape, ShapeGeometry, type Texture } from 'three';
import { Reflector } from 'three/addons/objects/Reflector.js';
import type { Quality } from '../quality.ts';
import { ROOM } from './layout.ts';

/**
 * Polished stone that mirrors the gallery. The reflection is blurred by taps whose spread grows with the distance
 * from the reflected thing's foot (a cheap stand-in for roughness) and grows stronger at grazing angles (Schlick's
 * approximation of Fresnel's equations).
 */
export function makeFloor(quality: Quality, stone: Texture): Mesh {
  const shape = new Shape();
  shape.moveTo(-ROOM.radius, -ROOM.backZ);
  shape.lineTo(ROOM.radius, -ROOM.backZ);
  shape.lineTo(ROOM.radius, 0);
  // Before it is laid down, the shape's +y is the room's −z.
  shape.absarc(0, 0, ROOM.radius, 0, Math.PI, false);
  shape.lineTo(-ROOM.radius, -ROOM.backZ);
  const geometry = new ShapeGeometry(shape, 48);
  const floor = new Reflector(geometry, {
    textureWidth: quality.reflection,
    textureHeight: Math.round(quality.reflection / 2),
    multisample: quality.name === 'high' ? 4 : 0,
    clipBias: 0.003,
    shader: {
      name: 'PolishedFloor',
      uniforms: {
        color: { value: null },
        tDiffuse: { value: null },
        textureMatrix: { value: null },
        stone: { value: stone },
      },
      vertexShader: VERTEX,
      fragmentShader: `const int TAPS = ${quality.reflectTaps};\n${FRAGMENT}`,
    },
  });
  const material = floor.material as unknown as { uniforms: Record<string, { value: unknown }> };
  // The constructor clones uniforms, and a texture's clone would be uploaded twice.
  material.uniforms.stone!.value = stone;
  floor.rotation.x = -Math.PI / 2;
  const reflect = floor.onBeforeRender;
  let frame = 0;
  floor.onBeforeRender = (...call) => {
    if (frame++ % quality.reflectEvery === 0) reflect.apply(floor, call);
  };
  return floor;
}

const VERTEX = /* glsl */ `
  uniform mat4 textureMatrix;
  varying vec4 vMirror;
  varying vec3 vWorld;
  void main() {
    vMirror = textureMatrix * vec4(position, 1.0);
    vec4 world = modelMatrix * vec4(position, 1.0);
    vWorld = world.xyz;
    gl_Position = projectionMatrix * viewMatrix * world;
  }
`;

const FRAGMENT = /* glsl */ `
  uniform sampler2D tDiffuse;
  uniform sampler2D stone;
  varying vec4 vMirror;
  varying vec3 vWorld;
  void main() {
    vec3 toEye = cameraPosition - vWorld;
    float distance = length(toEye);
    float cosine = clamp(toEye.y / distance, 0.0, 1.0);
    float fresnel = 0.05 + 0.95 * pow(1.0 - cosine, 4.0);
    vec2 tile = texture2D(stone, vWorld.xz / 5.2).rg;
    vec2 mirror = vMirror.xy / vMirror.w;
    float wall = length(vWorld.xz);
    float spread = (0.0016 + 0.0105 * smoothstep(7.4, 0.5, wall)) * (1.35 - tile.g * 0.5);
    vec3 light = vec3(0.0);
    float weight = 0.0;
    for (int x = -TAPS; x <= TAPS; x++) {
      for (int y = -TAPS - 1; y <= TAPS + 1; y++) {
        float w = 1.0 / (1.0 + float(x * x + y * y));
        light += w * min(texture2D(tDiffuse, mirror + vec2(float(x) * 0.55, float(y) * 1.5) * spread).rgb, vec3(2.0));
        weight += w;
      }
    }
    light /= weight;
    // Pools of light: warm in the middle of the lounge, along the skirting warm again, cooler between.
    vec3 lamp = vec3(0.060, 0.043, 0.030) * exp(-dot(vWorld.xz - vec2(0.0, -1.6), vWorld.xz - vec2(0.0, -1.6)) * 0.09);
    vec3 skirting = vec3(0.34, 0.185, 0.075) * smoothstep(6.2, 7.45, vWorld.z < 0.0 ? wall : abs(vWorld.x));
    vec3 base = tile.r * (vec3(0.0125, 0.0135, 0.018) + lamp) * 1.5 + skirting * tile.r * 0.42;
    gl_FragColor = vec4(base + light * fresnel * (0.35 + 0.45 * tile.g), 1.0);
    #include <tonemapping_fragment>
    #include <colorspace_fragment>
  }
`;
