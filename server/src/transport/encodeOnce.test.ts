import { encodeControl, type ServerControl } from '@facewire/proto';
import { expect, it } from 'vitest';
import { encodeOnce } from './encodeOnce.ts';

it('a message that goes to many is encoded for the first of them, and an equal one is another message', () => {
  const encoded: ServerControl[] = [];
  const encode = encodeOnce((message: ServerControl) => {
    encoded.push(message);
    return encodeControl(message);
  });
  const left = (participant: string): ServerControl => ({ type: 'participantLeft', participant });
  const messages = [left('p1'), left('p1'), left('p2')];
  for (const message of messages) {
    for (let peer = 0; peer < 3; peer++) expect(encode(message)).toEqual(encodeControl(message));
  }
  expect(encoded).toEqual(messages);
});
