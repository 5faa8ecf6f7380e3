/** `ws://` or `wss://`; http and https are taken for them. Throws TypeError for what can be no address. */
export function webSocketAddress(url: string): string {
  const address = url.replace(/^http(s?):/i, 'ws$1:');
  if (/^wss?:\/\/[^/]/i.test(address)) return address;
  throw new TypeError(`url ${JSON.stringify(url)}: expected an address such as ws://127.0.0.1:8080/connect`);
}
