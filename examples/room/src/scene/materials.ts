import {
  AdditiveBlending,
  type Material,
  MeshBasicMaterial,
  type MeshBasicMaterialParameters,
  MeshLambertMaterial,
  MeshStandardMaterial,
  type MeshStandardMaterialParameters,
} from 'three';
import type { Quality } from '../quality.ts';

/** Makes the room's materials in the quality that the machine affords. */
export class Materials {
  readonly #standard: boolean;

  constructor(quality: Quality) {
    this.#standard = quality.standardMaterials;
  }

  /** A lit surface. */
  surface(parameters: MeshStandardMaterialParameters): Material {
    if (this.#standard) return new MeshStandardMaterial({ roughness: 0.7, ...parameters });
    const { roughness: _roughness, metalness, ...rest } = parameters;
    const material = new MeshLambertMaterial(rest);
    // Without reflections a metal would be far too dull in its own colour.
    if (metalness && metalness > 0.5) material.emissive.copy(material.color).multiplyScalar(0.12);
    return material;
  }

  /** Something that shines and needs no light: a tube, a strip. */
  light(color: string, intensity = 1): MeshBasicMaterial {
    const material = new MeshBasicMaterial({ color, toneMapped: false });
    material.color.multiplyScalar(intensity);
    return material;
  }

  /** Light in the air: added to what is behind it. */
  glow(parameters: MeshBasicMaterialParameters): MeshBasicMaterial {
    return new MeshBasicMaterial({
      transparent: true,
      blending: AdditiveBlending,
      depthWrite: false,
      toneMapped: false,
      ...parameters,
    });
  }
}
