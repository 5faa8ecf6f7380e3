import { FacewireError } from '@facewire/proto';

export function textRefused(): FacewireError {
  return new FacewireError('message_malformed', 'messages are binary; a text message was received', {
    remedy: 'send an ArrayBuffer: one byte 0x00 and the message in msgpack',
  });
}
