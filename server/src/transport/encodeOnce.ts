/**
 * Does what `encode` does, but a message that goes to many peers, one after the other, is encoded for the first of them
 * only: what one peer says to a room of hundreds would cost hundreds of encodes. Messages are told apart by identity, so
 * one that was sent must not be changed; the bytes are everybody's, so nobody may write to them.
 */
export function encodeOnce<Message extends object, Bytes extends Uint8Array>(
  encode: (message: Message) => Bytes,
): (message: Message) => Bytes {
  let last: { message: Message; bytes: Bytes } | undefined;
  return (message) => {
    if (last?.message !== message) last = { message, bytes: encode(message) };
    return last.bytes;
  };
}
