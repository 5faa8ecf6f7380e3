import { FacewireError, neutralMotion } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import type { Picture, RenderedPicture } from '../contracts.ts';
import { splitDevices } from './Device.ts';
import { ModelPackage } from './ModelPackage.ts';
import { type DeviceRenderer, MultiRenderer } from './MultiRenderer.ts';
import { OnnxRenderer } from './OnnxRenderer.ts';
import { TINY_MODEL, tinyAvatar } from './testdata/tinyAvatar.ts';

const RGB = { i420: false, rgb: true };

function picture(avatar: string): Picture {
  return { avatar, size: 16, view: { yaw: 0, pitch: 0 }, motion: neutralMotion() };
}

/** Draws a picture whose first sample is the device's number; fails as told. */
function fakeDevice(number: number) {
  const drawn: string[][] = [];
  const state: { error: Error | undefined } = { error: undefined };
  const renderer: DeviceRenderer = {
    model: 'fake',
    device: `fake:${number}`,
    sizes: [16],
    maxBatch: 2,
    counters: {
      loads: 0,
      evictions: 0,
      bytesToDevice: 0,
      used: 1,
      runs: 1,
      pictures: 2,
      inputBytesToDevice: 10,
      bankBytesRecopied: 0,
      bytesFromDevice: 5,
    },
    bank: { slots: 4, forget() {}, async ensure() {} },
    async render(pictures): Promise<RenderedPicture[]> {
      if (pictures.length > 2) throw new RangeError('more than a batch');
      drawn.push(pictures.map(({ avatar }) => avatar));
      if (state.error) throw state.error;
      return pictures.map(({ size }) => ({ size, rgb: Uint8Array.of(number) }));
    },
    async close() {},
  };
  return { renderer, drawn, state };
}

describe('MultiRenderer', () => {
  const lost = new FacewireError('inference_failed', 'device lost');

  it('splits a batch by device and gives the frames back in the order asked for', async () => {
    const [one, two] = [fakeDevice(1), fakeDevice(2)];
    const multi = new MultiRenderer({ renderers: [one.renderer, two.renderer] });
    expect(multi).toMatchObject({ device: 'fake:1+fake:2', maxBatch: 4, bank: { slots: 8 } });
    expect(multi.counters).toMatchObject({ pictures: 4, inputBytesToDevice: 20 });
    const frames = await multi.render(['a', 'b', 'c', 'd'].map(picture), RGB);
    expect(frames.map(({ rgb }) => rgb![0])).toEqual([1, 2, 1, 2]);
    // All on one device, and more than it draws at once.
    const again = await multi.render(['c', 'a', 'c'].map(picture), RGB);
    expect(again.map(({ rgb }) => rgb![0])).toEqual([1, 1, 1]);
    expect(one.drawn).toEqual([['a', 'c'], ['c', 'a'], ['c']]);
  });

  it('takes a device out that fails where another does not: no frame is lost, and its avatars move', async () => {
    const [one, two] = [fakeDevice(1), fakeDevice(2)];
    const messages: string[] = [];
    const multi = new MultiRenderer({
      renderers: [one.renderer, two.renderer],
      onChange: (message) => messages.push(message),
    });
    one.state.error = lost;
    const frames = await multi.render(['a', 'b', 'c'].map(picture), RGB);
    expect(frames.map(({ rgb }) => rgb![0])).toEqual([2, 2, 2]);
    expect(messages).toEqual([expect.stringContaining('fake:1')]);
    await multi.render(['a', 'c'].map(picture), RGB);
    expect(one.drawn).toHaveLength(1);
    expect(multi.bank.slots).toBe(4);
  });

  it('keeps its devices when the picture is to blame', async () => {
    const [one, two] = [fakeDevice(1), fakeDevice(2)];
    const multi = new MultiRenderer({ renderers: [one.renderer, two.renderer] });
    one.state.error = lost;
    two.state.error = lost;
    await expect(multi.render([picture('a')], RGB)).rejects.toBe(lost);
    const corrupt = new FacewireError('avatar_corrupt', 'no');
    one.state.error = corrupt;
    two.state.error = undefined;
    await expect(multi.render([picture('a')], RGB)).rejects.toBe(corrupt);
    one.state.error = undefined;
    expect((await multi.render([picture('a')], RGB))[0]!.rgb![0]).toBe(1);
  });

  it('tries a failed device again ever more rarely, unseen, and gives it its avatars back when it draws', async () => {
    const [one, two] = [fakeDevice(1), fakeDevice(2)];
    const messages: string[] = [];
    let nowMs = 0;
    const multi = new MultiRenderer({
      renderers: [one.renderer, two.renderer],
      onChange: (message) => messages.push(message),
      now: () => nowMs,
    });
    const avatars = ['a', 'b', 'c', 'd'];
    const devices = async () => {
      const frames = await multi.render(avatars.map(picture), RGB);
      return frames.map(({ rgb }) => rgb![0]);
    };
    expect(await devices()).toEqual([1, 2, 1, 2]);
    one.state.error = lost;
    expect(await devices()).toEqual([2, 2, 2, 2]);
    expect(multi).toMatchObject({ device: 'fake:2', failedDevices: 1 });
    const tried = one.drawn.length;
    const triedAtMs: number[] = [];
    for (; nowMs < 8000; nowMs += 100) {
      const before = one.drawn.length;
      expect(await devices()).toEqual([2, 2, 2, 2]);
      if (one.drawn.length > before) triedAtMs.push(nowMs);
    }
    expect(triedAtMs).toEqual([1000, 3000, 7000]);
    expect(one.drawn).toHaveLength(tried + 3);
    one.state.error = undefined;
    nowMs = 16_000;
    await devices();
    await new Promise((resolve) => setImmediate(resolve));
    expect((await devices()).sort()).toEqual([1, 1, 2, 2]);
    expect(multi).toMatchObject({ device: 'fake:1+fake:2', failedDevices: 0 });
    expect(messages).toEqual([expect.stringContaining('taken out'), expect.stringContaining('returned')]);
    await multi.close();
  });

  it('opens a device anew that fails its first try', async () => {
    const [one, two, fresh] = [fakeDevice(1), fakeDevice(2), fakeDevice(3)];
    let nowMs = 0;
    const multi = new MultiRenderer({
      renderers: [one.renderer, two.renderer],
      reopen: async () => fresh.renderer,
      now: () => nowMs,
    });
    one.state.error = lost;
    await multi.render([picture('a')], RGB);
    for (nowMs = 1000; nowMs < 4000; nowMs += 1000) {
      await multi.render([picture('a')], RGB);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(fresh.drawn).toEqual([['a']]);
    expect(multi.device).toBe('fake:3+fake:2');
    // What the failed one did stays counted, what it held does not.
    expect(multi.counters).toMatchObject({ pictures: 6, inputBytesToDevice: 30, used: 2 });
    await multi.close();
    await expect(multi.render([picture('a')], RGB)).rejects.toMatchObject({ code: 'inference_failed' });
  });

  /** One device of two has failed, and each turn of the clock it is tried once. */
  async function failing(first: DeviceRenderer, reopen: () => Promise<DeviceRenderer>) {
    const two = fakeDevice(2);
    let nowMs = 0;
    const multi = new MultiRenderer({ renderers: [first, two.renderer], reopen, now: () => nowMs });
    const draw = async () => {
      const [frame] = await multi.render([picture('a')], RGB);
      await new Promise((resolve) => setImmediate(resolve));
      return frame!.rgb![0];
    };
    expect(await draw()).toBe(2);
    return {
      multi,
      turn: () => {
        nowMs += 60_000;
        return draw();
      },
    };
  }

  it('closes a failed device before it opens it anew, so that its memory is free by then', async () => {
    const [one, fresh] = [fakeDevice(1), fakeDevice(3)];
    one.state.error = lost;
    const order: string[] = [];
    one.renderer.close = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      order.push('closed');
    };
    const { multi, turn } = await failing(one.renderer, async () => {
      order.push('opened');
      return fresh.renderer;
    });
    await turn();
    await turn();
    await expect.poll(() => multi.device).toBe('fake:3+fake:2');
    expect(order).toEqual(['closed', 'opened']);
    await multi.close();
  });

  it('does not open a device anew while a run that was given up is still there', async () => {
    const [one, fresh] = [fakeDevice(1), fakeDevice(3)];
    one.state.error = new FacewireError('device_unavailable', 'does not answer');
    let stuck = true;
    Object.defineProperty(one.renderer, 'stuck', { get: () => stuck });
    let opened = 0;
    const { multi, turn } = await failing(one.renderer, async () => {
      opened++;
      return fresh.renderer;
    });
    for (let tries = 0; tries < 5; tries++) expect(await turn()).toBe(2);
    expect([opened, one.drawn.length]).toEqual([0, 1 + 5]);
    stuck = false;
    await turn();
    await expect.poll(() => multi.device).toBe('fake:3+fake:2');
    await multi.close();
  });

  it('closes while a device is being opened anew, and that one when it is open', async () => {
    const [one, fresh] = [fakeDevice(1), fakeDevice(3)];
    one.state.error = lost;
    let open = () => {};
    let closed = 0;
    fresh.renderer.close = async () => {
      closed++;
    };
    const { multi, turn } = await failing(
      one.renderer,
      () =>
        new Promise((resolve) => {
          open = () => resolve(fresh.renderer);
        }),
    );
    await turn();
    await turn();
    await multi.close();
    open();
    await expect.poll(() => closed).toBe(1);
    expect(fresh.drawn).toEqual([]);
  });

  it('lets the standby draw while all devices have failed, and no longer', async () => {
    const [one, two, standby] = [fakeDevice(1), fakeDevice(2), fakeDevice(9)];
    let nowMs = 0;
    let opened = 0;
    const multi = new MultiRenderer({
      renderers: [one.renderer, two.renderer],
      openStandby: async () => {
        opened++;
        return standby.renderer;
      },
      now: () => nowMs,
    });
    const draw = async () => {
      const frames = await multi.render(['a', 'b'].map(picture), RGB);
      await new Promise((resolve) => setImmediate(resolve));
      return frames.map(({ rgb }) => rgb![0]);
    };
    expect(await draw()).toEqual([1, 2]);
    expect(opened).toBe(0);
    one.state.error = lost;
    two.state.error = lost;
    expect(await draw()).toEqual([9, 9]);
    expect(await draw()).toEqual([9, 9]);
    expect(multi).toMatchObject({ device: 'fake:9', failedDevices: 2 });
    two.state.error = undefined;
    nowMs = 1000;
    await draw();
    expect(await draw()).toEqual([2, 2]);
    expect(opened).toBe(1);
    await multi.close();
  });

  it('says that no device is left when the last one does not answer, and goes on when it does', async () => {
    const only = fakeDevice(1);
    let nowMs = 0;
    const multi = new MultiRenderer({ renderers: [only.renderer], now: () => nowMs });
    only.state.error = new FacewireError('device_unavailable', 'does not answer');
    for (const _ of [1, 2]) {
      await expect(multi.render([picture('a')], RGB)).rejects.toMatchObject({ code: 'device_unavailable' });
    }
    only.state.error = undefined;
    nowMs = 1000;
    await multi.render([picture('a')], RGB).catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    expect((await multi.render([picture('a')], RGB))[0]!.rgb![0]).toBe(1);
  });

  it('draws with two real devices what one draws, each avatar uploaded to one of them only', async () => {
    const model = await ModelPackage.load(TINY_MODEL);
    const open = () =>
      OnnxRenderer.create({
        package: model,
        loadAvatar: async (id) => tinyAvatar(id, Number(id)),
        maxBatch: 2,
        threads: 1,
        bankSlots: 4,
        sizes: [16],
      });
    const multi = new MultiRenderer({ renderers: [await open(), await open()] });
    const single = await open();
    const pictures = ['0.2', '0.6', '0.4', '0.8'].map(picture);
    await multi.bank.ensure(['0.2', '0.6', '0.4', '0.8']);
    const frames = await multi.render(pictures, RGB);
    const expected = [
      ...(await single.render(pictures.slice(0, 2), RGB)),
      ...(await single.render(pictures.slice(2), RGB)),
    ];
    expect(frames).toEqual(expected);
    expect(multi.counters).toMatchObject({ loads: 4, used: 4, evictions: 0, runs: 2, pictures: 4 });
    multi.bank.forget('0.2');
    expect(multi.counters.used).toBe(3);
    await Promise.all([multi.close(), multi.close(), single.close()]);
  });

  it('uploads an avatar once to the device of its room, once more when the room moves, and draws it meanwhile', async () => {
    const model = await ModelPackage.load(TINY_MODEL);
    const open = () =>
      OnnxRenderer.create({
        package: model,
        loadAvatar: async (id) => tinyAvatar(id, Number(id)),
        threads: 1,
        bankSlots: 4,
        sizes: [16],
      });
    const devices = [await open(), await open()] as const;
    const multi = new MultiRenderer({ renderers: devices });
    const rooms = new Map([
      ['r', ['0.1', '0.2']],
      ['s', ['0.3']],
      ['t', ['0.4']],
      ['u', ['0.5', '0.6']],
    ]);
    const drawAll = async () => {
      for (const [room, avatars] of rooms) {
        const frames = await multi.render(
          avatars.map((avatar) => ({ ...picture(avatar), room })),
          RGB,
        );
        expect(frames.map(({ rgb }) => rgb![0])).toEqual(avatars.map((avatar) => Math.round(255 * Number(avatar))));
      }
    };
    const loads = () => devices.map(({ counters }) => counters.loads);
    const used = () => devices.map(({ counters }) => counters.used);
    for (let turn = 0; turn < 5; turn++) await drawAll();
    // r and u on the first (u came when the shares were equal), s and t on the second.
    expect(loads()).toEqual([4, 2]);

    rooms.get('s')!.push('0.7');
    for (let turn = 0; turn < 5; turn++) await drawAll();
    expect(loads()).toEqual([4, 3]);

    // The first has no slot for one more and the second one: r stays, its newcomer goes there.
    rooms.get('r')!.push('0.8');
    await drawAll();
    expect(loads()).toEqual([4, 4]);

    // The second has three now: r moves.
    rooms.delete('s');
    for (const gone of ['0.3', '0.7', '0.8']) multi.bank.forget(gone);
    expect(used()).toEqual([4, 1]);
    const pictures = devices[0].counters.pictures;
    await drawAll();
    // What has to be loaded there first is drawn where it still lies.
    expect(devices[0].counters.pictures - pictures).toBe(4);
    await expect.poll(async () => drawAll().then(used), { interval: 5 }).toEqual([2, 4]);
    for (let turn = 0; turn < 5; turn++) await drawAll();
    expect(loads()).toEqual([4, 4 + 3]);
    expect(multi.counters).toMatchObject({ evictions: 0, bankBytesRecopied: 0 });
    await multi.close();
  });

  it('draws a room on another device when its own fails, and on its own again when that returns', async () => {
    const [one, two] = [fakeDevice(1), fakeDevice(2)];
    let nowMs = 0;
    const multi = new MultiRenderer({ renderers: [one.renderer, two.renderer], now: () => nowMs });
    const draw = async (room: string) => {
      const frames = await multi.render(
        ['a', 'b'].map((avatar) => ({ ...picture(room + avatar), room })),
        RGB,
      );
      await new Promise((resolve) => setImmediate(resolve));
      return frames.map(({ rgb }) => rgb![0]);
    };
    expect([await draw('r'), await draw('s'), await draw('r')]).toEqual([
      [1, 1],
      [2, 2],
      [1, 1],
    ]);
    one.state.error = lost;
    expect([await draw('r'), await draw('s'), await draw('r')]).toEqual([
      [2, 2],
      [2, 2],
      [2, 2],
    ]);
    one.state.error = undefined;
    nowMs = 1000;
    await draw('s');
    const back = [await draw('r'), await draw('s')];
    expect(back.flat().sort()).toEqual([1, 1, 2, 2]);
    for (const room of back) expect(room[0]).toBe(room[1]);
    await multi.close();
  });

  it('lets no device take more than it draws in time while another one does', async () => {
    const devices = [fakeDevice(1), fakeDevice(2)];
    // 20 ms a picture: one avatar at 30 frames/s.
    for (const { renderer } of devices) renderer.batchTimes = () => [{ pictures: 1, ms: 20 }];
    const multi = new MultiRenderer({ renderers: devices.map(({ renderer }) => renderer) });
    const room = ['a', 'b', 'c', 'd'].map((avatar) => ({ ...picture(avatar), room: 'r' }));
    expect((await multi.render(room, RGB)).map(({ rgb }) => rgb![0])).toEqual([1, 2, 1, 2]);
    await multi.close();
  });
});

describe('splitDevices', () => {
  it('knows lists of CUDA devices, and leaves other settings as they are', () => {
    expect(splitDevices('cuda:0,2,11')).toEqual(['cuda:0', 'cuda:2', 'cuda:11']);
    for (const one of ['cpu', 'cuda', 'cuda:3', 'auto', 'cuda:0,', 'cpu,cpu']) expect(splitDevices(one)).toEqual([one]);
    expect(() => splitDevices('cuda:1,1')).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  });
});
