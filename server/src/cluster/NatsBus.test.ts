import type { FacewireError } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { connectionOptions } from './NatsBus.ts';

describe('addresses of NATS servers', () => {
  it('have names, passwords, tokens, ports and IPv6, and may be several', () => {
    expect(connectionOptions('nats://10.0.0.5')).toEqual({ servers: ['10.0.0.5'] });
    expect(connectionOptions('nats://a:4222, nats://[::1]:4223/')).toEqual({ servers: ['a:4222', '[::1]:4223'] });
    expect(connectionOptions('tls://t%40ken@nats.example')).toEqual({
      servers: ['nats.example'],
      tls: {},
      token: 't@ken',
    });
    expect(connectionOptions('nats://me:50%25off@a,nats://me:50%25off@b')).toEqual({
      servers: ['a', 'b'],
      user: 'me',
      pass: '50%off',
    });
  });

  it.each([
    'nats://user:pa,ss@h',
    'nats://user:p/secret@h',
    'user:secret@h:4222',
    'nats:/user:secret@h',
    'nats://user:a@secret@h:x',
    'nats://user:secret#@h',
    'tls://secret#x@h',
    'nats://user:50%secret@h',
    'nats://a,nats://user:secret@h',
    'nats://one:secret@a,nats://other:secret@h',
    'http://user:secret@h',
  ])('that cannot be read are told without what may be a secret: %s', (url) => {
    try {
      connectionOptions(url);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'config_invalid' });
      const { message, received, remedy, cause } = error as FacewireError;
      expect(`${message} ${received} ${remedy} ${String(cause)}`).not.toMatch(/secret|pa,ss|ss@|p\/s/);
    }
  });

  it.each(['', '127.0.0.1:4222', 'nats://', 'nats://a,,nats://b', 'nats://a/path', 'nats://a?x=1'])(
    'are not %s',
    (url) => {
      expect(() => connectionOptions(url)).toThrow(
        expect.objectContaining({ code: 'config_invalid', received: url }) as Error,
      );
    },
  );
});
