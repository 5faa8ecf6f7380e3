import { describe, expect, it } from 'vitest';
import { adaptPixelRatio, chooseQuality } from './quality.ts';

describe('quality', () => {
  it('is low on software rasterisers unless the page says otherwise', () => {
    const software = 'ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero)), SwiftShader driver)';
    expect(chooseQuality(software, null, 1).name).toBe('low');
    expect(chooseQuality('llvmpipe (LLVM 15.0.7, 256 bits)', null, 1).name).toBe('low');
    expect(chooseQuality(software, 'high', 1).name).toBe('high');
    expect(chooseQuality('NVIDIA GeForce RTX 4070', null, 1.5)).toMatchObject({ name: 'high', pixelRatio: 1.5 });
    expect(chooseQuality('NVIDIA GeForce RTX 4070', 'low', 1.5).name).toBe('low');
  });

  it('gives up resolution while frames take too long and takes it back, within its limits', () => {
    const limits = { pixelRatio: 1, minPixelRatio: 0.5 };
    let ratio = 1;
    for (let step = 0; step < 20; step++) ratio = adaptPixelRatio(ratio, 5, limits);
    expect(ratio).toBe(0.5);
    expect(adaptPixelRatio(ratio, 30, limits)).toBe(0.5);
    for (let step = 0; step < 20; step++) ratio = adaptPixelRatio(ratio, 60, limits);
    expect(ratio).toBe(1);
  });
});
