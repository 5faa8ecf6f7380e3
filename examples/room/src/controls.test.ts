import { PerspectiveCamera } from 'three';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { FirstPersonControls } from './controls.ts';

/** stands for the browser's class */
class TextField {
  readonly type = 'text';
}

const page = {};
const camera = new PerspectiveCamera();
let listeners: Map<string, (event: object) => void>;
let controls: FirstPersonControls;

function key(name: 'keydown' | 'keyup', code: string, change: object = {}): void {
  listeners.get(name)!({ code, key: code, target: page, ...change });
}

/** metres that the visitor walks within half a second */
function walked(): number {
  const before = camera.position.clone().setY(0);
  controls.update(0.5);
  return camera.position.clone().setY(0).distanceTo(before);
}

beforeEach(() => {
  listeners = new Map();
  vi.stubGlobal('HTMLInputElement', TextField);
  vi.stubGlobal('addEventListener', (name: string, listener: (event: object) => void) => listeners.set(name, listener));
  controls = new FirstPersonControls(camera, { addEventListener: () => {} } as never, []);
  return () => vi.unstubAllGlobals();
});

describe('the visitor', () => {
  it('walks as long as a key is held', () => {
    key('keydown', 'KeyW');
    expect(walked()).toBeGreaterThan(1);
    key('keyup', 'KeyW');
    expect(walked()).toBe(0);
  });

  it.each([
    ['Ctrl is held', { ctrlKey: true }],
    ['Alt is held', { altKey: true }],
    ['Meta is held', { metaKey: true }],
    ['a text field has the focus', { target: new TextField() }],
  ])('stops when the key is let go while %s', (_, change) => {
    key('keydown', 'KeyW');
    key('keyup', 'KeyW', change);
    expect(walked()).toBe(0);
  });

  it('stops when Meta is pressed, and when the window loses the focus', () => {
    key('keydown', 'KeyW');
    key('keydown', 'MetaLeft', { key: 'Meta', metaKey: true });
    expect(walked()).toBe(0);
    key('keydown', 'KeyW');
    listeners.get('blur')!({});
    expect(walked()).toBe(0);
  });

  it('does not walk when something is typed, or for a shortcut', () => {
    key('keydown', 'KeyW', { target: new TextField() });
    key('keydown', 'KeyS', { ctrlKey: true });
    expect(walked()).toBe(0);
  });
});
