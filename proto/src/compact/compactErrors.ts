import { FacewireError } from '../errors.ts';

export function badValue(what: string, received: string): FacewireError {
  return new FacewireError('packet_bad_value', `compact motion packet: ${what} out of range`, {
    received,
    remedy: 'send exactly the bytes that the encoder returned, from a baseline that the receiver has',
  });
}
