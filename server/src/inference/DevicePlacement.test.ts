import { describe, expect, it } from 'vitest';
import { DevicePlacement } from './DevicePlacement.ts';

/** Devices of so many slots each. */
function devicesOf(...slots: number[]) {
  return slots.map((each) => ({ slots: each }));
}

/** Draws avatars of a room, named after it; their devices. */
function draw(placement: DevicePlacement, room: string, count: number): (number | undefined)[] {
  return Array.from({ length: count }, (_, index) => placement.place(`${room}${index}`, room));
}

function devicesIn(placement: DevicePlacement, room: string, count: number): (number | undefined)[] {
  return Array.from({ length: count }, (_, index) => placement.deviceOf(`${room}${index}`));
}

describe('DevicePlacement of avatars without rooms', () => {
  it('fills devices evenly by their slots, and an avatar stays where it is', () => {
    const placement = new DevicePlacement(devicesOf(4, 8));
    const first = Array.from({ length: 12 }, (_, index) => placement.place(`a${index}`));
    expect(placement.counts).toEqual([4, 8]);
    expect(Array.from({ length: 12 }, (_, index) => placement.place(`a${index}`))).toEqual(first);
  });

  it('forgets the avatar drawn least recently when no slot is left, wherever that is, and never holds more', () => {
    const placement = new DevicePlacement(devicesOf(2, 2));
    for (const avatar of ['a', 'b', 'c', 'd', 'a', 'c', 'd', 'e']) placement.place(avatar);
    expect(['a', 'b', 'c', 'd', 'e'].map((avatar) => placement.deviceOf(avatar))).toEqual([0, undefined, 0, 1, 1]);
    for (let index = 0; index < 50; index++) placement.place(`x${index}`);
    expect(placement.counts).toEqual([2, 2]);
  });

  it('moves the avatars of a failed device, and only those', () => {
    const placement = new DevicePlacement(devicesOf(8, 8, 8));
    const avatars = ['a', 'b', 'c', 'd', 'e', 'f'];
    const before = avatars.map((avatar) => placement.place(avatar));
    placement.fail(1);
    const after = avatars.map((avatar) => placement.place(avatar));
    expect(after).not.toContain(1);
    for (const [index, device] of before.entries()) if (device !== 1) expect(after[index]).toBe(device);
    expect(placement.working).toEqual([0, 2]);
    placement.fail(0);
    placement.fail(2);
    expect(placement.place('a')).toBeUndefined();
    expect(placement.counts).toEqual([0, 0, 0]);
  });
});

describe('DevicePlacement of rooms', () => {
  it('keeps a room on one device, and gives another room the emptiest', () => {
    const placement = new DevicePlacement(devicesOf(8, 8));
    expect(draw(placement, 'r', 5)).toEqual([0, 0, 0, 0, 0]);
    expect(draw(placement, 's', 3)).toEqual([1, 1, 1]);
    expect(draw(placement, 't', 2)).toEqual([1, 1]);
    expect(draw(placement, 'r', 6)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(placement.rooms).toEqual(
      new Map([
        ['r', 0],
        ['s', 1],
        ['t', 1],
      ]),
    );
  });

  it('moves a room as a whole to the emptiest device that takes it all, when its own is full', () => {
    const placement = new DevicePlacement(devicesOf(4, 4, 6));
    draw(placement, 'r', 2); // to 0
    draw(placement, 's', 3); // to 1
    draw(placement, 't', 1); // to 2
    draw(placement, 'u', 1); // to 2, by its share
    placement.place('v0', 'r');
    placement.place('v1', 'r');
    expect(placement.counts).toEqual([4, 3, 2]);
    // 1 has a slot, 2 has four: neither takes five.
    expect(placement.place('v2', 'r')).toBe(2);
    expect(placement.rooms.get('r')).toBe(0);
    placement.forget('u0');
    placement.forget('v2');
    expect(placement.place('v2', 'r')).toBe(2);
    expect(placement.rooms.get('r')).toBe(2);
    expect(placement.counts).toEqual([0, 3, 6]);
    expect([...devicesIn(placement, 'r', 2), placement.deviceOf('v0')]).toEqual([2, 2, 2]);
    // They still lie where they were, as the newcomer never did, until somebody has seen them arrive.
    expect(['r0', 'r1', 'v0', 'v1', 'v2'].map((avatar) => placement.leaving(avatar))).toEqual([0, 0, 0, 0, undefined]);
    placement.arrived('r0');
    expect(placement.leaving('r0')).toBeUndefined();
  });

  it('spreads a room that no device takes, without moving anybody, and gathers it where it is at home', () => {
    const placement = new DevicePlacement(devicesOf(4, 4));
    expect(draw(placement, 'r', 7)).toEqual([0, 0, 0, 0, 1, 1, 1]);
    for (let turn = 0; turn < 3; turn++) expect(draw(placement, 'r', 7)).toEqual([0, 0, 0, 0, 1, 1, 1]);
    placement.forget('r1');
    // The first of those elsewhere that is drawn takes the free slot, and nobody moves after that.
    for (let turn = 0; turn < 3; turn++) {
      for (const index of [0, 2, 3, 4, 5, 6]) placement.place(`r${index}`, 'r');
    }
    expect(devicesIn(placement, 'r', 7)).toEqual([0, undefined, 0, 0, 0, 1, 1]);
  });

  it('moves a room only when somebody comes: two rooms that grow do not push each other to and fro', () => {
    const placement = new DevicePlacement(devicesOf(6, 6));
    let moves = 0;
    let homes = '';
    for (let count = 1; count <= 6; count++) {
      for (let turn = 0; turn < 5; turn++) {
        for (const room of ['r', 's']) draw(placement, room, count);
        const now = [...placement.rooms.values()].join();
        if (turn > 0 && now !== homes) moves++;
        homes = now;
      }
    }
    expect(moves).toBe(0);
    expect(devicesIn(placement, 'r', 6)).toEqual(Array(6).fill(0));
    expect(devicesIn(placement, 's', 6)).toEqual(Array(6).fill(1));
  });

  it('gives a device no more than it draws in time while another one does, and then all alike', () => {
    let capacity: number | undefined;
    const devices = devicesOf(20, 20).map((device) => ({ ...device, capacity: () => capacity }));
    const placement = new DevicePlacement(devices);
    draw(placement, 'r', 4);
    expect(placement.counts).toEqual([4, 0]);
    capacity = 5;
    draw(placement, 'r', 10);
    expect(placement.counts).toEqual([5, 5]);
    draw(placement, 'r', 16);
    expect(placement.counts).toEqual([8, 8]);
  });

  it('relieves a device that is found to be slow: of rooms that fit elsewhere, else of avatars, and only once', () => {
    let capacity: number | undefined;
    const placement = new DevicePlacement(devicesOf(20, 20).map((device) => ({ ...device, capacity: () => capacity })));
    placement.fail(1);
    draw(placement, 'r', 9);
    draw(placement, 's', 3);
    placement.restore(1);
    expect(placement.counts).toEqual([9, 3]);
    draw(placement, 't', 3);
    expect(placement.counts).toEqual([9, 6]);
    capacity = 8;
    // Nine fit nowhere: one goes.
    for (let turn = 0; turn < 3; turn++) draw(placement, 'r', 9);
    expect(placement.counts).toEqual([8, 7]);
    capacity = 7;
    for (let turn = 0; turn < 3; turn++)
      for (const [room, count] of [
        ['s', 3],
        ['t', 3],
        ['r', 9],
      ] as const)
        draw(placement, room, count);
    // 15 are more than both draw in time: nobody moves for that.
    expect(placement.counts).toEqual([8, 7]);

    const other = new DevicePlacement(devicesOf(20, 20).map((device) => ({ ...device, capacity: () => capacity })));
    capacity = undefined;
    other.fail(1);
    for (const room of ['r', 's', 't', 'u']) draw(other, room, 2);
    other.place('v0', 'v');
    other.restore(1);
    for (const room of ['r', 's']) expect(other.rooms.get(room)).toBe(1);
    draw(other, 't', 6);
    capacity = 6;
    draw(other, 'u', 2);
    expect(devicesIn(other, 'u', 2)).toEqual([1, 1]);
    expect(other.counts).toEqual([7, 6]);
  });

  it('moves the rooms of a failed device as a whole, the largest first, and spreads what no device takes', () => {
    const placement = new DevicePlacement(devicesOf(10, 6, 6));
    draw(placement, 'x', 1); // to 0
    draw(placement, 'y', 2); // to 1
    draw(placement, 'z', 1); // to 2
    draw(placement, 'r', 2); // to 0, where the share is smallest
    draw(placement, 's', 5); // to 2
    draw(placement, 'x', 6);
    expect(placement.counts).toEqual([8, 2, 6]);
    placement.fail(0);
    // 1 takes four more: x does not fit as a whole, r does afterwards no more.
    expect(placement.counts).toEqual([0, 6, 6]);
    expect(placement.rooms.get('y')).toBe(1);
    expect(placement.rooms.get('x')).toBe(1);
    expect(devicesIn(placement, 's', 5)).toEqual(Array(5).fill(2));

    const wide = new DevicePlacement(devicesOf(10, 10, 10));
    draw(wide, 'r', 3); // to 0
    draw(wide, 's', 2); // to 1
    draw(wide, 't', 4); // to 2
    wide.fail(0);
    expect(wide.counts).toEqual([0, 5, 4]);
    expect(devicesIn(wide, 'r', 3)).toEqual([1, 1, 1]);
    // What lay on the device that failed lies nowhere.
    expect(wide.leaving('r0')).toBeUndefined();
  });

  it('evens the shares with whole rooms when a device returns, and moves none that is more than its share', () => {
    const placement = new DevicePlacement(devicesOf(12, 12));
    placement.fail(1);
    draw(placement, 'r', 3);
    draw(placement, 's', 2);
    draw(placement, 't', 4);
    placement.restore(1);
    expect(placement.counts).toEqual([5, 4]);
    expect(placement.rooms.get('t')).toBe(1);
    expect(devicesIn(placement, 't', 4)).toEqual([1, 1, 1, 1]);
    expect(placement.leaving('t0')).toBe(0);
    expect(devicesIn(placement, 'r', 3)).toEqual([0, 0, 0]);

    const one = new DevicePlacement(devicesOf(12, 12));
    one.fail(1);
    draw(one, 'r', 9);
    one.restore(1);
    expect(one.counts).toEqual([9, 0]);
  });

  it('leaves an avatar that is in two rooms where it is, until the room that it belongs to is gone', () => {
    const placement = new DevicePlacement(devicesOf(8, 8), { idleTurns: 10 });
    draw(placement, 'r', 2);
    draw(placement, 's', 2);
    for (let turn = 0; turn < 100; turn++) {
      expect(placement.place('r0', 's')).toBe(0);
      expect(placement.place('r0', 'r')).toBe(0);
      expect(placement.place('s0', 's')).toBe(1);
    }
    // Its own room draws it no more: it goes over, and to the home of the other.
    for (let turn = 0; turn < 100; turn++) placement.place('r0', 's');
    expect(placement.deviceOf('r0')).toBe(1);
    expect(placement.leaving('r0')).toBe(0);
  });

  it('takes an avatar into a room that had none', () => {
    const placement = new DevicePlacement(devicesOf(8, 8));
    draw(placement, 'r', 1);
    placement.place('a');
    expect(placement.deviceOf('a')).toBe(1);
    expect(placement.place('a', 'r')).toBe(0);
    placement.place('b');
    expect(placement.place('b', 's')).toBe(1);
    expect(placement.rooms.get('s')).toBe(1);
  });

  it('does not count who left: the place of one who was not drawn for long is free', () => {
    const placement = new DevicePlacement(devicesOf(4, 4), { idleTurns: 10 });
    draw(placement, 'gone', 4);
    for (let turn = 0; turn < 200; turn++) draw(placement, 'r', 2);
    expect(draw(placement, 's', 2)).toEqual([0, 0]);
    expect([...placement.rooms.keys()]).toEqual(['r', 's']);
    expect(placement.counts).toEqual([2, 2]);
  });

  it('keeps its word through seeded weeks of coming, going, failing and returning', () => {
    for (let seed = 1; seed <= 40; seed++) expect(walk(seed), `seed ${seed}`).toEqual([]);
  });
});

/** Park and Miller's generator: whole numbers below `below`. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

/** Rooms of 0 to 12 avatars over three devices of 5, 9 and 14 slots. Returns what did not hold after a step. */
function walk(seed: number): string[] {
  const random = randomOf(seed);
  const slots = [5, 9, 14];
  const placement = new DevicePlacement(devicesOf(...slots), { idleTurns: 20 });
  const rooms = Array.from({ length: 6 }, (_, room) => ({ name: `room${room}`, avatars: new Set<string>() }));
  const failed = new Set<number>();
  const everybody = () => [...new Set(rooms.flatMap(({ avatars }) => [...avatars]))];
  const where = () => new Map(everybody().map((avatar) => [avatar, placement.deviceOf(avatar)]));
  const broken: string[] = [];
  let step = 0;
  const must = (holds: boolean, what: string) => {
    if (!holds) broken.push(`step ${step}: ${what}`);
  };
  for (let avatars = 0; step < 400 && broken.length === 0; step++) {
    const room = rooms[random(rooms.length)]!;
    const event = random(20);
    if (event === 0) {
      const device = random(slots.length);
      if (failed.delete(device)) placement.restore(device);
      else {
        failed.add(device);
        placement.fail(device);
      }
    } else if (event < 5) {
      room.avatars.delete([...room.avatars][random(room.avatars.size || 1)]!);
    } else if (event < 9) {
      // Some are in two rooms.
      const avatar = random(8) === 0 ? everybody()[0] : `a${avatars++}`;
      if (avatar !== undefined && room.avatars.size < 12) room.avatars.add(avatar);
    } else {
      const [before, homes] = [where(), placement.rooms];
      const newcomers = [...room.avatars].filter((avatar) => before.get(avatar) === undefined);
      for (const avatar of room.avatars) {
        const device = placement.place(avatar, room.name);
        must(failed.size === slots.length ? device === undefined : !failed.has(device!), `${avatar} on ${device}`);
      }
      const moved = [...where()].filter(([avatar, device]) => device !== before.get(avatar));
      for (const [avatar, device] of newcomers.length === 0 ? moved : []) {
        must(room.avatars.has(avatar) && device === placement.rooms.get(room.name), `${avatar} moved to ${device}`);
      }
      for (const [name, home] of newcomers.length === 0 ? placement.rooms : []) {
        must(home === (homes.get(name) ?? home), `${name} moved to ${home}`);
      }
    }
    for (const [device, count] of placement.counts.entries()) {
      must(count <= (failed.has(device) ? 0 : slots[device]!), `${count} avatars on ${device}`);
    }
    for (const [name, home] of placement.rooms) must(!failed.has(home), `${name} at home on ${home}, which failed`);
    must(placement.rooms.size <= placement.counts.reduce((sum, count) => sum + count, 0), 'a room without avatars');
    for (const [avatar, device] of where()) {
      const from = placement.leaving(avatar);
      must(from === undefined || (!failed.has(from) && from !== device), `${avatar} leaves ${from}`);
    }
  }
  return broken;
}
